"""From rule specs to the compiled rules that travel in control blocks: every reference resolved, every list unfolded."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from tokenfuse.contracts.ruleset import AnyRule, CapRule, DriftRule, Response, SpikeRule
from tokenfuse.rules.schema import AnySpec, BudgetSpec, CapSpec, DriftSpec, RuleSpec, SpikeSpec
from tokenfuse.rules.tables import usd_column


def compile_rule(spec: AnySpec, root: Path) -> Iterator[AnyRule]:
    """The rules that one spec stands for: one per axis, and for a budget one per axis and share.

    Raises:
        RuleFileError: from a table.
    """
    limits = usd_column(root, spec.limits) if isinstance(spec, CapSpec | BudgetSpec) and spec.limits else {}
    for axis in spec.axes:
        common = _common(spec, axis)
        match spec:
            case CapSpec():
                yield _cap(spec, common, limits)
            case BudgetSpec():
                yield from _budget(spec, common, limits)
            case SpikeSpec():
                yield _spike(spec, common)
            case DriftSpec():
                yield _drift(spec, common)


def _common(spec: RuleSpec, axis: str) -> dict[str, Any]:
    response = spec.response
    return {
        "id": f"{spec.id}.{axis}" if isinstance(spec.axis, list) else spec.id,
        "maturity": spec.maturity,
        "axis": axis,
        "match": spec.match,
        "for_seconds": spec.for_,
        "keep_firing_for_seconds": spec.keep_firing_for,
        "mode": spec.mode,
        "response": response
        and Response(action=response.action, ttl_seconds=response.ttl, downgrade_to=response.downgrade_to),
        "runbook": spec.runbook,
        "title": spec.title,
    }


def _cap(spec: CapSpec, common: dict[str, Any], limits: dict[str, int]) -> CapRule:
    return CapRule(
        **common, kind="cap", driver="cost", severity=spec.severity,
        window=spec.window, limit_nanousd=spec.limit_usd, limits=limits,
    )  # fmt: skip


def _budget(spec: BudgetSpec, common: dict[str, Any], limits: dict[str, int]) -> Iterator[CapRule]:
    """One cap that only tells per share: `<id>@50`, `<id>@80`, `<id>@100`."""
    for notify in spec.notify_at:
        share = Fraction(str(notify.share))
        yield CapRule(
            **{**common, "id": f"{common['id']}@{_percent(share)}"},
            kind="cap", driver="cost", severity=notify.severity, window=spec.window,
            limit_nanousd=None if spec.limit_usd is None else round(spec.limit_usd * share),
            limits={scope: round(limit * share) for scope, limit in limits.items()},
            resolution="warn" if share < 1 else "final",
        )  # fmt: skip


def _percent(share: Fraction) -> str:
    """`50`, `99.5`: a share in percent without a trailing zero."""
    percent = Decimal(share.numerator) * 100 / Decimal(share.denominator)
    return f"{percent.normalize():f}"


def _spike(spec: SpikeSpec, common: dict[str, Any]) -> SpikeRule:
    return SpikeRule(
        **common, kind="spike", driver="cost", severity=spec.severity, pane=spec.pane, factor=float(spec.factor),
        history_panes=spec.history_panes, history_panes_min=spec.history_panes_min, floor_nanousd=spec.floor_usd,
    )  # fmt: skip


def _drift(spec: DriftSpec, common: dict[str, Any]) -> DriftRule:
    return DriftRule(
        **common, kind="drift", driver=spec.signal, severity=spec.severity, signal=spec.signal,
        windows_seconds=tuple(spec.windows), z_min=float(spec.z_min), effect_min=float(spec.effect_min),
        baseline_hours=spec.baseline // 3600, baseline_hours_min=spec.baseline_hours_min, calls_min=spec.calls_min,
        floor_nanousd_per_day=spec.floor_usd_per_day, evaluation_interval_seconds=spec.evaluation_interval,
    )  # fmt: skip
