"""A fuse for the LLM bill."""
