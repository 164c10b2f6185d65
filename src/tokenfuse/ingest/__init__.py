"""Bytes to canonical event to priced, de-duplicated delta blocks. Pure: no I/O, no clock."""
