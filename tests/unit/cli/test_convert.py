"""`tokenfuse convert`: any accepted format to canonical JSON lines, nothing lost."""

import base64
import gzip
import io
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tokenfuse.cli import convert as verb, schema
from tokenfuse.cli.convert import convert
from tokenfuse.ingest.decode import Decoder
from tokenfuse.pricing.book import PriceBook

GOLDEN = Path(__file__).parents[1] / "ingest" / "golden"
BASE = {
    "id": "e-1", "time": 1763985600, "tenant": "acme", "feature": "chat", "model": "gpt-4o",
    "input_tokens": 100, "output_tokens": 50,
}  # fmt: skip


def lines(*records) -> bytes:
    return b"".join(r + b"\n" if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in records)


def converted(path: Path, *, price: bool = False):
    out, rejects = io.BytesIO(), io.BytesIO()
    counts = convert([path], out, rejects, price=price)
    return counts, *(
        [json.loads(line) for line in stream.getvalue().splitlines()] for stream in (out, rejects)
    )


def test_it_says_what_the_producer_said(tmp_path):
    (tmp_path / "x").write_bytes(
        lines(BASE, {**BASE, "id": "e-2", "cost_usd": 0.25}, b"", [{**BASE, "id": "e-3"}])
    )
    counts, events, rejects = converted(tmp_path / "x")
    assert (counts.lines, counts.events, counts.refused, rejects) == (3, 3, {}, [])
    assert [event["id"] for event in events] == ["e-1", "e-2", "e-3"]
    assert events[0]["time"] == "2025-11-24T12:00:00Z"
    assert [event["cost_usd"] for event in events] == [None, "0.25", None]
    assert "user" not in events[0]


def test_price_adds_ours_and_leaves_the_unknown_open(tmp_path):
    """An estimate must not become a canonical cost: that would be believed, and the call no longer unpriced."""
    (tmp_path / "x").write_bytes(lines(BASE, {**BASE, "cost_usd": "0"}, {**BASE, "model": "in-house-7"}))
    counts, events, _ = converted(tmp_path / "x", price=True)
    assert [event["cost_usd"] for event in events] == ["0.00075", "0", None]
    assert counts.unpriced == 1


def test_a_refused_line_is_kept_with_reason_path_file_and_line(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(lines(BASE, {**BASE, "input_tokens": -1}, b"\xff{", b'{"hello": 1}')))
    counts, events, rejects = converted(path)
    assert len(events) == 1
    assert counts.refused == {"invalid_utf8": 1, "out_of_range": 1, "unknown_format": 1}
    assert [(r["reason"], r["path"], r["line"], r["file"]) for r in rejects] == [
        ("out_of_range", "input_tokens", 2, str(path)), ("invalid_utf8", "", 3, str(path)),
        ("unknown_format", "", 4, str(path)),
    ]  # fmt: skip
    assert json.loads(rejects[0]["original"])["input_tokens"] == -1
    assert base64.b64decode(rejects[1]["original_base64"]) == b"\xff{"


def test_a_line_of_two_megabytes_is_refused_and_the_next_is_taken(tmp_path):
    (tmp_path / "x").write_bytes(lines({**BASE, "note": "x" * 2_000_000}, BASE))
    counts, events, _ = converted(tmp_path / "x")
    assert (counts.refused, len(events)) == ({"too_large": 1}, 1)


def test_what_convert_writes_prices_as_what_it_read():
    decoder = Decoder(("team", "provider"), 0, 0, PriceBook())
    source = (GOLDEN / "litellm.jsonl").read_bytes().splitlines()
    out = io.BytesIO()
    convert([GOLDEN / "litellm.jsonl"], out, None, price=False)
    written = out.getvalue().splitlines()
    assert [decoder.decode(line, (), None) for line in source] == [
        decoder.decode(line, (), None) for line in written
    ]
    again = io.BytesIO()
    path = GOLDEN / "litellm.jsonl"
    convert([path], again, None, price=False)
    assert again.getvalue() == out.getvalue()


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    verb.register(app)
    schema.register(app)
    return app


def test_the_verb_exits_0_1_or_2(app, tmp_path):
    runner = CliRunner()
    (tmp_path / "good").write_bytes(lines(BASE))
    (tmp_path / "bad").write_bytes(lines(BASE, b"{"))
    good = runner.invoke(app, ["convert", str(tmp_path / "good")])
    bad = runner.invoke(app, ["convert", str(tmp_path / "bad"), "--deadletter", str(tmp_path / "dl")])
    missing = runner.invoke(app, ["convert", str(tmp_path / "nowhere")])
    assert (good.exit_code, bad.exit_code, missing.exit_code) == (0, 1, 2)
    assert "1 lines, 1 events, 0 refused" in good.stderr
    assert "1 refused (malformed_json 1)" in bad.stderr
    assert "nowhere: No such file" in missing.stderr
    assert json.loads((tmp_path / "dl").read_text())["original"] == "{"
    assert json.loads(good.stdout)["id"] == "e-1"


def test_schema_prints_one_or_writes_all(app, tmp_path):
    runner = CliRunner()
    printed = runner.invoke(app, ["schema", "event"])
    assert json.loads(printed.stdout)["title"] == "CostEvent"
    assert runner.invoke(app, ["schema", "--write", str(tmp_path / "new")]).exit_code == 0
    assert (tmp_path / "new" / "event.json").read_text() == printed.stdout
    assert runner.invoke(app, ["schema"]).exit_code == 2
    assert runner.invoke(app, ["schema", "nonsense"]).exit_code == 2
