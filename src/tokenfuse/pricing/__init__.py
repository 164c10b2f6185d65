"""Unit prices, versions, unknown models."""
