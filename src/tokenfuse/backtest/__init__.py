"""What rules would have done: alerts of a replay against the money that was spent. Pure; `rules backtest` is the shell."""
