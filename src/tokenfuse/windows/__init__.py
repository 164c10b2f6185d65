"""Panes, sums, buckets and their checkpoint codec: the state of one deltas partition."""
