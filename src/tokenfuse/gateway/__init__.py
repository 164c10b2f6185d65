"""What runs inside a gateway: the switch view, `check`, the publisher. Imports contracts only."""
