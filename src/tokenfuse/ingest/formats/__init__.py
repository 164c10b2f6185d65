"""Vendor formats, one file each. To add one: write its file, and name it in `registry.FORMATS`."""
