"""The demo: a small company's traffic, shaped by real traces, through the real pipeline, in about a minute."""
