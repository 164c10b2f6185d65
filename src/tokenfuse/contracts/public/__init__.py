"""The public contract as pydantic models: they make the JSON Schemas under `schemas/` and the exact error of a bad record.

Imported by `tokenfuse schema`, by dead letters and by rules only: the hot path has msgspec structs with the same fields.
"""
