"""The packaged extract of the traces is small, complete and readable."""

from __future__ import annotations

import random

from tokenfuse.demo.company import FEATURES
from tokenfuse.demo.traces import (
    Curve,
    packaged,
    read_agent_runs,
    read_azure,
    read_clients,
    read_mooncake,
)


def test_the_extract_is_small_and_says_where_it_comes_from():
    files = list(packaged().iterdir())

    assert sum(file.stat().st_size for file in files) < 300_000
    sources = (packaged() / "SOURCES.md").read_text()
    assert all(file.name in sources for file in files if file.suffix == ".csv")
    assert "Apache-2.0" in sources
    assert "CC-BY-4.0" in sources


def test_every_feature_of_the_company_has_its_client_with_calls_in_every_hour_of_the_day():
    clients = {(client.kind, client.name): client for client in read_clients(packaged())}

    for feature in FEATURES:
        hours = {window.start_s % 86_400 // 3600 for window in clients[feature.kind, feature.client].windows}
        assert len(hours) == 24, feature.name


def test_a_cached_prefix_is_never_longer_than_the_prompt():
    requests = [request for run in read_agent_runs(packaged()) for request in run]

    assert all(0 <= r.cached_tokens <= r.input_tokens for r in requests)
    assert any(r.cached_tokens for r in requests)
    exchanges = read_mooncake(packaged()) + read_azure(packaged())
    assert all(0 <= e.cached_tokens <= e.input_tokens for e in exchanges)


def test_draws_keep_to_the_quantiles():
    curve = Curve(((0.0, 10.0), (0.5, 20.0), (0.9, 100.0), (1.0, 1000.0)))
    draws = sorted(curve.draw(random.Random(n)) for n in range(2000))

    assert 10 <= draws[0] <= draws[-1] <= 1000
    assert 19 < draws[1000] < 21
    assert 85 < draws[1800] < 160
