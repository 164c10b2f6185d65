"""A Faust worker with one table: prints what recovery restored, then what it counts.

Environment: BOOTSTRAP_SERVERS, APP_ID, DATADIR, SESSION_TIMEOUT_SECONDS.
"""

from __future__ import annotations

import json
import os
from typing import Any

import faust

from tokenfuse.runtime.broker import patch_faust_highwaters

PARTITIONS = 4

app = faust.App(
    os.environ["APP_ID"],
    broker=f"kafka://{os.environ['BOOTSTRAP_SERVERS']}",
    store="memory://",
    datadir=os.environ["DATADIR"],
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
    topic_disable_leader=True,
    table_standby_replicas=0,
    web_enabled=False,
    stream_wait_empty=False,
    broker_session_timeout=float(os.environ["SESSION_TIMEOUT_SECONDS"]),
    broker_heartbeat_interval=0.5,
    broker_commit_interval=0.5,
)
patch_faust_highwaters(app)
events = app.topic(
    f"{app.conf.id}-events", key_type=str, key_serializer="json", value_type=bytes, value_serializer="raw"
)
counts = app.Table("counts", partitions=PARTITIONS, default=int)


@counts.on_recover  # type: ignore[untyped-decorator]
async def tell_restored() -> None:
    print(json.dumps({"restored": dict(counts)}), flush=True)


@app.agent(events, concurrency=1)  # type: ignore[untyped-decorator]
async def count(stream: Any) -> None:
    async for event in stream.events():
        counts[event.key] += 1
        print(json.dumps({"counted": dict(counts)}), flush=True)


if __name__ == "__main__":
    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()
