"""Rule files: schema, loader, lint, rule tests."""
