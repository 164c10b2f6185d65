"""The table of the report: one column per method, over all judged seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final

from benchmarks.detection.company import SCOPES
from benchmarks.detection.judge import Judgement, Verdict

WEEKS: Final = 2
FLOOR_NANOUSD: Final = 250_000_000
"""Incidents whose whole excess is below a quarter of a dollar are listed apart."""
CALLS_MANY: Final = 5_000
DENSE_PER_HOUR: Final = 300.0

Row = tuple[str, str, Callable[[Sequence[Judgement]], str]]
"""Name, what is to be reached, and the cell of one method."""


def table(judgements: Sequence[Judgement]) -> str:
    """Markdown; methods in the order of their first appearance."""
    methods = list(dict.fromkeys(judgement.method for judgement in judgements))
    lines = [f"| | to reach | {' | '.join(methods)} |", "|---" * (len(methods) + 2) + "|"]
    for name, goal, cell in ROWS:
        cells = (cell([j for j in judgements if j.method == method]) for method in methods)
        lines.append(f"| {name} | {goal} | {' | '.join(cells)} |")
    return "\n".join(lines)


def by_kind(judgements: Sequence[Judgement]) -> str:
    """Markdown: found of all, and median delay, per kind of incident."""
    methods = list(dict.fromkeys(judgement.method for judgement in judgements))
    kinds = sorted({verdict.kind for judgement in judgements for verdict in judgement.verdicts})
    lines = [f"| found, median delay | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]
    for kind in kinds:
        cells = []
        for method in methods:
            mine = [v for v in verdicts([j for j in judgements if j.method == method]) if v.kind == kind]
            cells.append(f"{sum(map(found, mine))}/{len(mine)}, {delay(mine)}")
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def verdicts(judgements: Iterable[Judgement]) -> list[Verdict]:
    """Every incident of some seeds."""
    return [verdict for judgement in judgements for verdict in judgement.verdicts]


def found(verdict: Verdict) -> bool:
    """Whether any alert found it."""
    return verdict.delay_ms is not None


def recall(some: Sequence[Verdict]) -> str:
    """Share of incidents that were found, and of how many."""
    return f"{sum(map(found, some)) / len(some):.3f} of {len(some)}" if some else "-"


def delay(some: Sequence[Verdict]) -> str:
    """Median delay of those that were found."""
    delays = [verdict.delay_ms / 1000 for verdict in some if verdict.delay_ms is not None]
    if not delays:
        return "-"
    seconds = median(delays)
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def share(values: Sequence[bool]) -> str:
    """Share of true ones."""
    return f"{sum(values) / len(values):.3f}" if values else "-"


def rate(counts: Sequence[int | None], weeks: float) -> str:
    """Counts per scope and week."""
    known = [count for count in counts if count is not None]
    return f"{sum(known) / (len(known) * SCOPES * weeks):.4f}" if known else "-"


def _found(judgements: Sequence[Judgement]) -> list[Verdict]:
    return [verdict for verdict in verdicts(judgements) if found(verdict)]


def _of(some: Sequence[Judgement], *kinds: str) -> list[Verdict]:
    return [verdict for verdict in verdicts(some) if verdict.kind in kinds]


def _burnt(some: Sequence[Verdict]) -> str:
    shares = [verdict.burnt for verdict in some]
    return f"{median(shares):.3f}" if shares else "-"


def _explained(some: Sequence[Judgement]) -> str:
    sums = [sum(judgement.explained[i] for judgement in some) for i in range(3)]
    return f"{sums[0]} / {sums[1]} / {sums[2]}"


ROWS: Final[tuple[Row, ...]] = (
    ("seeds", "", lambda s: ", ".join(str(j.seed) for j in s)),
    ("recall", ">= .92", lambda s: recall(verdicts(s))),
    (
        f"recall, excess above ${FLOOR_NANOUSD / 1e9}",
        "",
        lambda s: recall([v for v in verdicts(s) if v.excess_nanousd >= FLOOR_NANOUSD]),
    ),
    (
        f"recall, excess below ${FLOOR_NANOUSD / 1e9}",
        "",
        lambda s: recall([v for v in verdicts(s) if v.excess_nanousd < FLOOR_NANOUSD]),
    ),
    (
        "recall, more than 5,000 calls",
        ">= .97",
        lambda s: recall([v for v in verdicts(s) if v.calls > CALLS_MANY]),
    ),
    ("recall by pages", "", lambda s: share([v.paged for v in verdicts(s)])),
    (
        "recall by chance",
        "",
        lambda s: f"{sum(v.by_chance for v in verdicts(s)) / max(len(verdicts(s)), 1):.3f}",
    ),
    ("median delay", "<= 18 min", lambda s: delay(verdicts(s))),
    (
        "median delay, 300 calls/h and more",
        "<= 10 min",
        lambda s: delay([v for v in verdicts(s) if v.calls_per_hour >= DENSE_PER_HOUR]),
    ),
    ("median delay, fan-out and burn", "<= 10 s", lambda s: delay(_of(s, "fan_out", "burn"))),
    ("loops: median share of excess burnt", "< .2", lambda s: _burnt(_of(s, "agent_loop"))),
    ("false pages per scope-week", "<= .05", lambda s: rate([j.false_pages for j in s], WEEKS)),
    ("false pages and tickets per scope-week", "<= .15", lambda s: rate([j.false_all for j in s], WEEKS)),
    ("null run: pages and tickets per scope-week", "<= .01", lambda s: rate([j.null_all for j in s], WEEKS)),
    ("right driver, of found", ">= .96", lambda s: share([v.right_driver for v in _found(s)])),
    ("right scope, of found", ">= .92", lambda s: share([v.right_scope for v in _found(s)])),
    ("the very scope, of found", "", lambda s: share([v.same_scope for v in _found(s)])),
    ("median share of excess burnt, of found", "<= .05", lambda s: _burnt(_found(s))),
    (
        "alerts per found incident",
        "",
        lambda s: f"{sum(v.alerts for v in _found(s)) / max(len(_found(s)), 1):.1f}",
    ),
    ("drivers add up / do not / absent", "all add up", _explained),
)
