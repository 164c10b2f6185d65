"""The recipe to beat, as it was first written down: per-call scores, ten windows, records of each scope, one page.

Signals retry, tier, cache, prompt, output and price by `evidence.py`; volume and loops by records of their own level.
It reads five-minute sums of tenants with features, so a model is no scope of it. References are renewed every day from
the 14 days before; the learned weeks are judged by themselves, for the records only.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from benchmarks.detection.alerts import Raised
from benchmarks.detection.calls import Calls
from benchmarks.detection.cellpanes import CellPanes, sums
from benchmarks.detection.clock import LEARNED_DAYS
from benchmarks.detection.company import AGENT, FEATURES, TENANTS, Company, tenant_name
from benchmarks.detection.evidence import (
    AGENT_CALLS,
    DAY,
    REFERENCE_DAYS,
    Evidence,
    Reference,
    before,
    learn,
    rates,
    rolled,
    weigh,
    with_lead,
    z_of,
)
from benchmarks.detection.panes import PANES, end_ms
from benchmarks.detection.traces import Floats
from msgspec.structs import replace

SIGNALS: Final = ("retry", "tier", "cache", "price", "prompt", "output")
LENGTHS: Final = frozenset({"prompt", "output"})
HEIGHT: Final = {"cell": {True: 6.5, False: 4.4}, "several": {True: 4.5, False: 4.0}}
"""Least z by scope and by whether the signal is a length."""
EFFECT: Final = {"cell": {True: 0.6, False: 0.35}, "several": {True: 0.45, False: 0.35}}
IMPACT: Final = {"retry": 0.2, "tier": 1.0, "cache": 0.4, "price": 0.5, "prompt": 0.4, "output": 0.4}
"""Share of the scope's dollars that an effect of 1 adds."""
RECORD_FACTOR: Final = 1.2
RECORD_DAYS_LEFT_OUT: Final = 3
CALLS_MIN: Final = 5
USD_PER_DAY_MIN: Final = 0.05

VOLUME_WINDOWS: Final = (1, 2, 3, 6, 12, 24, 36)
VOLUME_RECORD: Final = 2.0
VOLUME_CALLS_MIN: Final = 20
VOLUME_LOG_MIN: Final = 0.5
STEP_RECORD: Final = 1.1

OVERLAP_EFFECT: Final = 0.15
PAGES_PER_PANE: Final = 3
OPEN_PANES: Final = DAY
YOUNG_PANES: Final = 12
PROMOTED: Final = 1.5


@dataclass
class Page:
    """One open page: its cells are muted for the same driver."""

    raised: Raised
    cells: Floats
    pane: int
    last: int


@dataclass
class Records:
    """Largest value of each of the last 14 days, per scope; days on which it fired may be left out."""

    days: deque[tuple[Floats, np.ndarray]] = field(default_factory=lambda: deque(maxlen=REFERENCE_DAYS))

    def largest(self, left_out: int) -> Floats:
        """Per scope, without up to `left_out` days that fired."""
        values = np.array([value for value, _ in self.days])
        fired = np.array([fires for _, fires in self.days])
        rank = np.where(fired, values, -np.inf).argsort(0)[::-1].argsort(0)
        dropped = fired & (rank < left_out)
        result: Floats = np.where(dropped, 0.0, values).max(0)
        return result


class Recipe:
    """One run over one seed's panes."""

    def __init__(self, company: Company, calls: Calls) -> None:
        """Aggregate the calls and lay out the scopes."""
        self.panes: CellPanes = sums(company, calls)
        self.feature = np.array([cell.feature for cell in company.cells], np.float64)
        self.agents = np.where(self.feature == AGENT, AGENT_CALLS, 1.0)
        self._lay_out(company)
        self.records = {signal: Records() for signal in SIGNALS}
        self.volume = {width: Records() for width in VOLUME_WINDOWS}
        self.steps = Records()
        self._learned: dict[str, slice] = {}
        self._references: dict[str, Reference] = {}
        self.open: list[Page] = []
        self.closed: list[Page] = []

    def _lay_out(self, company: Company) -> None:
        cells = company.cells
        rows: list[tuple[dict[str, str], list[bool], float]] = []
        rows += [
            (cell.axes, [i == j for j in range(len(cells))], np.log(110)) for i, cell in enumerate(cells)
        ]
        for f, feature in enumerate(FEATURES):
            rows.append(({"feature": feature.name}, [cell.feature == f for cell in cells], np.log(8)))
        for t in range(TENANTS):
            members = [cell.tenant == t for cell in cells]
            rows.append(({"tenant": tenant_name(t)}, members, np.log(110) + 1))
        rows.append(({}, [True] * len(cells), np.log(110)))
        self.axes = [axes for axes, _, _ in rows]
        self.members = np.array([members for _, members, _ in rows], np.float64)
        self.penalty = np.array([penalty for _, _, penalty in rows])
        self.cells = len(cells)
        self.is_cell = self.members.sum(1) == 1
        self.is_cell[self.cells :] = False

    def run(self) -> list[Raised]:
        """Every page of the judged weeks."""
        for day in range(PANES // DAY):
            self._day(day)
        pages = [replace(page.raised, end_ms=end_ms(page.last)) for page in [*self.closed, *self.open]]
        return sorted(pages, key=lambda each: (each.at_ms, each.identity))

    def _day(self, day: int) -> None:
        judged = day >= LEARNED_DAYS
        days = slice(day - REFERENCE_DAYS, day) if judged else slice(0, LEARNED_DAYS)
        rate = rates(self.panes, days)
        usd = self.members @ self.panes.usd[:, days.start * DAY : days.stop * DAY].sum(1) / REFERENCE_DAYS
        firing: dict[str, np.ndarray] = {}
        evidence: dict[str, Evidence] = {}
        for signal in SIGNALS:
            known = self._known(signal, days)
            evidence[signal] = weigh(self.panes, known, rate, self.agents, day)
            firing[signal] = self._signal(signal, evidence[signal], usd, judged=judged)
        loud = self._volume(day, rate, usd, judged=judged)
        looping = self._loops(day, judged=judged)
        if judged:
            for pane in range(DAY):
                self._pane(day * DAY + pane, pane, firing, evidence, loud[:, pane], looping[:, pane])

    def _known(self, signal: str, days: slice) -> Reference:
        """The reference of some days; the learned weeks have one for all of their days."""
        if self._learned.get(signal) != days:
            self._learned[signal] = days
            self._references[signal] = learn(self.panes, signal, days, self.feature, self.agents)
        return self._references[signal]

    def _height(self, signal: str, table: dict[str, dict[bool, float]]) -> Floats:
        length = signal in LENGTHS
        return np.where(self.is_cell, table["cell"][length], table["several"][length])

    def _signal(self, signal: str, evidence: Evidence, usd: Floats, *, judged: bool) -> np.ndarray:
        """bool[scopes, DAY]: scopes that fire; the day's largest z becomes a record."""
        z, effect, calls = z_of(self.members, evidence)
        height = self._height(signal, HEIGHT)
        if judged:
            height = np.maximum(height, RECORD_FACTOR * self.records[signal].largest(RECORD_DAYS_LEFT_OUT))
        known = np.where(calls >= CALLS_MIN, z, 0.0)
        fires = self._fires(signal, known, effect, height[None, :, None], usd[None, :, None])
        largest = known.max((0, 2))
        self.records[signal].days.append((largest, fires.any((0, 2))))
        result: np.ndarray = fires.any(0)
        return result

    def _fires(self, signal: str, z: Floats, effect: Floats, height: Floats, usd: Floats) -> np.ndarray:
        least = self._height(signal, EFFECT)[None, :, None] if z.ndim == 3 else self._height(signal, EFFECT)
        dollars = usd * IMPACT[signal] * np.minimum(effect, 3)
        result: np.ndarray = (z > height) & (effect > least) & (dollars >= USD_PER_DAY_MIN)
        return result

    def _volume(self, day: int, rate: Floats, usd: Floats, *, judged: bool) -> np.ndarray:
        """bool[scopes, DAY]: more than twice the scope's own record, and than the hour and the last hours say."""
        agent = (self.agents > 1)[:, None]
        arrivals = np.where(agent, AGENT_CALLS * self.panes.runs, self.panes.calls)
        calls = with_lead(arrivals, day)
        usual = rate[:, (np.arange(calls.shape[1]) - calls.shape[1] + DAY) // 12 % 24]
        more = np.where(self.members @ (self.agents > 1) >= self.members.sum(1), 64.0, 4.0)[:, None]
        fires = np.zeros((len(self.axes), DAY), bool)
        for width in VOLUME_WINDOWS:
            n = self.members @ rolled(calls, width)
            expected = np.maximum(self.members @ rolled(usual, width), self.members @ before(calls, width))
            x = np.log((n + more) / (expected + more))
            level = n + more
            if judged:
                over = level > VOLUME_RECORD * self.volume[width].largest(0)[:, None]
                dollars = usd[:, None] * np.minimum(np.expm1(np.maximum(x, 0)), 3)
                fires |= over & (n >= VOLUME_CALLS_MIN) & (x > VOLUME_LOG_MIN) & (dollars >= USD_PER_DAY_MIN)
            self.volume[width].days.append((level.max(1), np.zeros(len(level), bool)))
        return fires

    def _loops(self, day: int, *, judged: bool) -> np.ndarray:
        """bool[cells, DAY]: a run with more steps than 1.1 times any of the feature in 14 days."""
        step = self.panes.step[:, day * DAY : (day + 1) * DAY]
        largest = np.full(self.cells, step[self.feature == AGENT].max())
        fires = np.zeros((self.cells, DAY), bool)
        if judged:
            fires = (self.feature == AGENT)[:, None] & (step > STEP_RECORD * self.steps.largest(0)[:, None])
        self.steps.days.append((largest, np.zeros(self.cells, bool)))
        return fires

    # From firing scopes to pages.

    def _pane(
        self,
        at: int,
        pane: int,
        firing: dict[str, np.ndarray],
        evidence: dict[str, Evidence],
        loud: np.ndarray,
        looping: np.ndarray,
    ) -> None:
        self._touch(at, {**{s: firing[s][:, pane] for s in SIGNALS}, "volume": loud}, looping)
        left = PAGES_PER_PANE
        for cell in np.flatnonzero(looping):
            if left and not self._muted("loop", at)[cell]:
                self._raise("loop", int(cell), at)
                left -= 1
        while left and self._loudest(loud, at):
            left -= 1
        while (
            left
            and any(firing[s][:, pane].any() for s in SIGNALS)
            and self._likeliest(at, pane, firing, evidence)
        ):
            left -= 1

    def _touch(self, at: int, firing: dict[str, np.ndarray], looping: np.ndarray) -> None:
        """A page whose scope still exceeds stays open; one that has not for a day is over."""
        for page in list(self.open):
            driver = page.raised.driver
            fires = looping if driver == "loop" else firing[driver]
            scopes = np.flatnonzero(fires)
            if any((self.members[scope] * page.cells).any() for scope in scopes):
                page.last = at
            elif at - page.last > OPEN_PANES:
                self.open.remove(page)
                self.closed.append(page)

    def _muted(self, driver: str, at: int) -> np.ndarray:
        muted = np.zeros(self.cells, bool)
        for page in self.open:
            same = page.raised.driver == driver or page.raised.driver in ("loop", "volume")
            if same or at - page.pane < YOUNG_PANES:
                muted |= page.cells > 0
        return muted

    def _loudest(self, loud: np.ndarray, at: int) -> bool:
        """One volume page: the largest scope that fires and is not muted, unless only one cell of it does."""
        muted = self._muted("volume", at)
        free = [s for s in np.flatnonzero(loud) if not (self.members[s] * muted).any()]
        if not free:
            return False
        cells = [s for s in free if self.is_cell[s]]
        several = [s for s in free if not self.is_cell[s]]
        holding = [s for s in several if sum(self.members[s][c] for c in cells) > 1]
        chosen = min(holding, key=lambda s: self.penalty[s]) if holding else (cells or several)[0]
        self._raise("volume", int(chosen), at)
        return True

    def _likeliest(
        self, at: int, pane: int, firing: dict[str, np.ndarray], evidence: dict[str, Evidence]
    ) -> bool:
        """One page of the signal and scope that explain most, on the cells that are not muted."""
        best: tuple[float, str, int] | None = None
        for signal in SIGNALS:
            if not firing[signal][:, pane].any():
                continue
            members = self.members * ~self._muted(signal, at)
            z, effect, calls = _strongest(members, evidence[signal], pane)
            height = np.maximum(
                self._height(signal, HEIGHT),
                RECORD_FACTOR * self.records[signal].largest(RECORD_DAYS_LEFT_OUT),
            )
            fires = (z > height) & (effect > self._height(signal, EFFECT)) & (calls >= CALLS_MIN)
            fires &= firing[signal][:, pane]
            if not fires.any():
                continue
            trigger = int(np.where(fires, z, 0).argmax())
            overlaps = (members @ members[trigger] > 0) & (effect > OVERLAP_EFFECT)
            likelihood = np.where(overlaps, z**2 / 2 - self.penalty, -np.inf)
            scope = self._promoted(int(likelihood.argmax()), evidence[signal], pane, self._muted(signal, at))
            if best is None or likelihood.max() > best[0]:
                best = (float(likelihood.max()), signal, scope)
        if best is None:
            return False
        self._raise(best[1], best[2], at)
        return True

    def _promoted(self, scope: int, evidence: Evidence, pane: int, muted: np.ndarray) -> int:
        """A cell whose feature's other cells lean the same way is the feature."""
        if not self.is_cell[scope]:
            return scope
        feature = self.cells + int(self.feature[scope])
        others = np.flatnonzero((self.members[feature] > 0) & ~muted)
        others = others[others != scope]
        if len(others) < 2:
            return scope
        signed = evidence.pull[:, :, pane] / np.sqrt(np.maximum(evidence.spread[:, :, pane], 1e-12))
        leaning = np.clip(signed[signed[:, scope].argmax(), others], -3, 3).sum() / len(others) ** 0.5
        return feature if leaning > PROMOTED else scope

    def _raise(self, driver: str, scope: int, at: int) -> None:
        raised = Raised(f"recipe-{driver}", self.axes[scope], driver, "page", end_ms(at), end_ms(at))
        self.open.append(Page(raised, self.members[scope], at, at))


def _strongest(members: Floats, evidence: Evidence, pane: int) -> tuple[Floats, Floats, Floats]:
    """z, effect and calls of each scope in the window where z is largest, at one pane."""
    at = Evidence(
        *(
            getattr(evidence, name)[:, :, pane : pane + 1]
            for name in ("pull", "spread", "expected", "skew", "calls")
        )
    )
    z, effect, calls = (part[:, :, 0] for part in z_of(members, at))
    window = np.where(calls >= CALLS_MIN, z, 0).argmax(0)
    scope = np.arange(len(members))
    return z[window, scope], effect[window, scope], calls[window, scope]


def alerts(company: Company, calls: Calls) -> list[Raised]:
    """Pages of the recipe on the calls of a seed."""
    return Recipe(company, calls).run()
