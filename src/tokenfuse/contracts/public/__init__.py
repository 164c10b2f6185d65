"""The pydantic models of what crosses a border: for schemas, rules and the error texts of dead letters."""
