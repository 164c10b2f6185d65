"""Baselines, one detector per file, and drivers: why, in dollars. Pure and vectorised over scopes."""
