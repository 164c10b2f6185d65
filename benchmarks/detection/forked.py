"""Replays the run and the counterfactual of a seed, and the learned weeks that both begin with only once.

python -m benchmarks.detection.forked SEED_DIRECTORY RULES METHOD

The class that `tokenfuse replay` runs reads the learned weeks; then the process forks, and each half reads its own weeks into
its own directory. What it writes is what the command writes, to the byte (a test), in three quarters of the time.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.detection.replays import INPUTS

from tokenfuse.cli.lines import read_lines
from tokenfuse.rules.loader import load
from tokenfuse.runtime.replay import Replay


class Forked(Replay):
    """A replay that becomes two where the learned weeks end."""

    def fork(self, out: Path) -> bool:
        """Go on twice: True in the second process, which writes into `out` what stands in the first one's files so far."""
        for file in self._files.values():
            file.flush()
        self._lines._file.flush()  # noqa: SLF001 - the two processes would share its place
        if os.fork():
            return False
        out.mkdir(parents=True, exist_ok=True)
        for name in self._files:
            copied = Path(shutil.copy(self._out / f"{name}.jsonl", out))
            self._files[name] = copied.open("ab")
        shared, own = self._lines._file, tempfile.TemporaryFile()  # noqa: SLF001, SIM115 - lives as long as the replay
        with os.fdopen(os.open(f"/proc/self/fd/{shared.fileno()}", os.O_RDONLY), "rb") as before:
            shutil.copyfileobj(before, own)
        self._lines._file, self._out = own, out  # noqa: SLF001
        return True


def replay_both(seed_directory: Path, rules: Path, method: str) -> None:
    """Write `<method>-run` and `<method>-counterfactual`.

    Raises:
        ChildProcessError: the second half failed; it said why.
    """
    learned, run = (seed_directory / file for file in INPUTS["run"])
    other = seed_directory / INPUTS["counterfactual"][1]
    job = Forked(load(rules), seed_directory / f"{method}-run")
    first = os.getpid()

    def lines() -> Iterator[bytes]:
        yield from read_lines(learned)
        is_second = job.fork(seed_directory / f"{method}-counterfactual")
        yield from read_lines(other if is_second else run)

    job.run(lines())
    if os.getpid() != first:
        os._exit(0)
    _, status = os.wait()
    if status:
        raise ChildProcessError(f"the counterfactual of {seed_directory} ended with {status}")


if __name__ == "__main__":
    replay_both(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
