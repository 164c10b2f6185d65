"""Every metric by name, in one place. Prometheus conventions: base units, `_total`, no unbounded labels."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# Ingest
EVENTS_TOTAL = Counter("tokenfuse_events_total", "Records by outcome.", ["result"])
DEAD_LETTERS_TOTAL = Counter("tokenfuse_dead_letters_total", "Records refused, by reason.", ["reason"])
UNPRICED_TOTAL = Counter(
    "tokenfuse_unpriced_total", "Calls whose model has no known price; estimated, never 0."
)
HEADER_NAMES_MENDED_TOTAL = Counter(
    "tokenfuse_header_names_mended_total", "Records taken although a header name is not UTF-8."
)
SLICE_SECONDS = Histogram("tokenfuse_slice_seconds", "From the cut of a slice to the acks of its blocks.")
INGEST_LAG_RECORDS = Gauge("tokenfuse_ingest_lag_records", "Source records not yet cut.", ["partition"])
INGEST_LAG_SECONDS = Gauge(
    "tokenfuse_ingest_lag_seconds",
    "How old the last cut record is while others wait; 0 where none does.",
    ["partition"],
)
FENCED_TOTAL = Counter("tokenfuse_fenced_total", "Leases lost: every slice in hand was dropped.")

# Agents and decider
BLOCKS_TOTAL = Counter("tokenfuse_blocks_total", "Blocks by outcome.", ["result"])
CHECKPOINTS_TOTAL = Counter(
    "tokenfuse_checkpoints_total", "Checkpoints by role and outcome.", ["role", "result"]
)
CHECKPOINT_SECONDS = Histogram("tokenfuse_checkpoint_seconds", "One checkpoint, all acks awaited.", ["role"])
RECOVERY_SECONDS = Gauge("tokenfuse_recovery_seconds", "Last recovery from the changelog.", ["role"])
SCOPES = Gauge("tokenfuse_scopes", "Scopes held in memory.", ["axis"])
FOLDED_TOTAL = Counter(
    "tokenfuse_folded_total", "Scope values folded into ~other: an axis reached its bound.", ["axis"]
)
VERDICTS_REFUSED_TOTAL = Counter(
    "tokenfuse_verdicts_refused_total", "Findings not told: too many verdicts stand in one deltas partition."
)
WATERMARK_SECONDS = Gauge("tokenfuse_watermark_timestamp_seconds", "Event time up to which panes are closed.")
SIGNALS_TOTAL = Counter("tokenfuse_signals_total", "Verdict changes by state.", ["state"])
ROLLUPS_TOTAL = Counter("tokenfuse_rollups_total", "Rollups written.")
ALERTS = Gauge("tokenfuse_alerts", "Alerts by state.", ["state"])
ALERTS_HELD = Gauge("tokenfuse_alerts_held", "Alerts held back by what people said, by reason.", ["reason"])
KILLSWITCH_ACTIVE = Gauge("tokenfuse_killswitch_active", "Engaged kill switches.")
REFUSED_TOTAL = Counter("tokenfuse_refused_total", "Commands and switches refused, by reason.", ["reason"])
RULES_LAST_RELOAD_SUCCESSFUL = Gauge(
    "tokenfuse_rules_last_reload_successful", "1: the files on disk are in force."
)
CROSS_PARTITION_DUPLICATES_TOTAL = Counter(
    "tokenfuse_cross_partition_duplicates_total",
    "Sampled ids that were counted in two source partitions, by reason; times tokenfuse_id_sample_one_in.",
    ["reason"],
)
ID_SAMPLE_ONE_IN = Gauge("tokenfuse_id_sample_one_in", "One id in so many is compared over all partitions.")
RULES_WITHOUT_SCOPES = Gauge(
    "tokenfuse_rules_without_scopes", "Rules that judge nothing: their axis is none of FURTHER_AXES."
)

# Notify
NOTIFICATIONS_TOTAL = Counter("tokenfuse_notifications_total", "Notifications delivered.", ["integration"])
NOTIFICATIONS_FAILED_TOTAL = Counter(
    "tokenfuse_notifications_failed_total", "Notifications given up on.", ["integration", "reason"]
)
NOTIFICATIONS_PENDING = Gauge(
    "tokenfuse_notifications_pending", "Alert transitions that wait for a receiver.", ["integration"]
)
NOTIFICATIONS_WAIT_SECONDS = Gauge(
    "tokenfuse_notifications_wait_seconds", "How long the oldest of them has waited.", ["integration"]
)
