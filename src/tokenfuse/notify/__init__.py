"""The alerts topic as the outbox: Slack, PagerDuty, terminal."""
