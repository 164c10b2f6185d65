"""Adding up the batches of a results file."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from tests.chaos.audit import FAULTS, Findings

if TYPE_CHECKING:
    from pathlib import Path

CHECKED = ("scopes", "events", "signals", "alerts", "switches", "slices_cut_again", "slices_half_out")


def print_summary(path: Path) -> int:
    """Totals over all batches; 1 if anything was wrong in one."""
    batches = [json.loads(line) for line in path.read_text().splitlines()]
    faults: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    exits: Counter[str] = Counter()
    for batch in batches:
        faults.update(batch["faults"])
        for name, count in batch["exits"].items():
            exits[name.rpartition(":")[2]] += count
        for name in CHECKED:
            checked[name] += batch["fresh"][name]
        for audit in ("live", "fresh"):
            wrong.update(Findings(**batch[audit]).faults)
    print(f"batches   {len(batches)}, seeds {', '.join(str(batch['seed']) for batch in batches)}")
    print(f"minutes   {sum(batch['wall_seconds'] for batch in batches) / 60:.1f} in all")
    print(f"faults    {', '.join(f'{count} {name}' for name, count in sorted(faults.items()) if count)}")
    print(f"exits     {', '.join(f'{count} with {code}' for code, count in sorted(exits.items()))}")
    print(f"checked   {', '.join(f'{count:,} {name}' for name, count in checked.items())}")
    print(f"wrong     {', '.join(f'{wrong[name]} {name}' for name in FAULTS)}")
    return 1 if wrong.total() else 0
