from __future__ import annotations

from benchmarks.speed import scaling
from benchmarks.speed.results import Results

AGENTS = {
    "ingest_cpu_us": 7.0, "agents_cpu_us": 1.0, "scopes": 1000, "agents_mb": 200.0, "deltas_bytes": 100.0,
    "ids_bytes": 32.0, "rollups_bytes": 50.0, "checkpoint_bytes": 20.0,
}  # fmt: skip


def test_without_results_every_table_says_so(tmp_path):
    results = Results(tmp_path)
    assert {scaling.costs(results), scaling.scopes(results), scaling.million(results)} == {scaling.NOTHING}


def test_a_million_events_a_second_need_cores_in_proportion_to_their_cost(tmp_path):
    results = Results(tmp_path)
    results.append("agents", AGENTS)
    text = scaling.million(results)
    assert "| ingest workers, one core each | 10 |" in text
    assert "| agents workers, one core each | 2 |" in text
    assert "| source partitions, at least | 20 |" in text
    assert "| Kafka, deltas | 100 MB/s |" in text


def test_live_rates_come_in_their_order(tmp_path):
    results = Results(tmp_path)
    live = {f"{name}_{unit}": 1.0 for name in ("ingest", "agents") for unit in ("cpu_us",)}
    live |= {f"{name}_bytes": 2.0 for name in scaling.TOPICS}
    results.append("traffic", {"1000": live, "100": live, "even_cpu_us": 1.0, "skewed_cpu_us": 1.0})
    lines = scaling.costs(results).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["100 events/s", "1,000 events/s"]
