"""Rules as people write them: one file per kind, each with the fields, what they mean, and the compiled rule."""
