"""Rule files on disk become a `rules` command when they differ from what is in force; bad files change nothing."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from aiokafka.errors import KafkaError

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.command import Command, encode_command
from tokenfuse.contracts.ruleset import RuleSet, encode_ruleset
from tokenfuse.contracts.topics import COMMANDS
from tokenfuse.rules.errors import RuleFileError
from tokenfuse.rules.lint import without_scopes
from tokenfuse.rules.loader import files_digest, load
from tokenfuse.runtime import kafka, metrics
from tokenfuse.runtime.command_forwarder import wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfuse.decide.decider import DeciderCore
    from tokenfuse.runtime.settings import Settings

POLL_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 30.0
"""A command that is not in force by then is sent again."""

log = structlog.get_logger(__name__)


class RulesPoller:
    """Compares the rule files with the rule set in force, where this process is the one that decides.

    Args:
        decider: the decider's core, or None while another process decides.
    """

    def __init__(self, settings: Settings, decider: Callable[[], DeciderCore | None]) -> None:
        self._settings = settings
        self._decider = decider
        self._digest: str | None = None
        self._ruleset: RuleSet | None = None
        self._is_refused = False
        self._asked: tuple[str, float] = ("", 0.0)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`."""
        while not stop.is_set():
            await self._read_files()
            await self._compare()
            await wait(stop, POLL_SECONDS)

    async def _read_files(self) -> None:
        """In a thread: reading and compiling many rules would hold up the decisions."""
        digest = await asyncio.to_thread(files_digest, self._settings.rules_dir)
        if digest == self._digest:
            return
        self._digest = digest
        try:
            self._ruleset = await asyncio.to_thread(load, self._settings.rules_dir)
        except RuleFileError as error:
            self._ruleset = None
            metrics.RULES_LAST_RELOAD_SUCCESSFUL.set(0)
            problems = [str(problem) for problem in error.problems]
            log.warning("rule files refused, the rules in force stay: correct them", problems=problems)
            self._is_refused = True
            return
        self._say_without_scopes(self._ruleset)

    def _say_without_scopes(self, ruleset: RuleSet) -> None:
        further = self._settings.further_axes
        rules = {rule.id: rule.axis for rule in ruleset.rules if without_scopes(rule.axis, further)}
        metrics.RULES_WITHOUT_SCOPES.set(len(rules))
        if rules:
            log.warning(
                "rules judge nothing, their axes are none of TOKENFUSE_FURTHER_AXES: add them there, for all roles",
                rules=rules,
            )

    async def _compare(self) -> None:
        core, ruleset, now = self._decider(), self._ruleset, time.time()
        if core is None or ruleset is None:
            return
        if core.ruleset is not None and core.ruleset.id == ruleset.id:
            metrics.RULES_LAST_RELOAD_SUCCESSFUL.set(1)
            if self._is_refused or self._asked[0]:
                log.info("the rule files are in force", ruleset=ruleset.id, rules=len(ruleset.rules))
            self._is_refused = False
            self._asked = ("", 0.0)
            return
        just_asked = self._asked[0] == ruleset.id and now - self._asked[1] < PATIENCE_SECONDS
        if not just_asked and await self._ask(
            rules_command(ruleset, int(now * 1000), self._settings.instance_id)
        ):
            self._asked = (ruleset.id, now)

    async def _ask(self, command: Command) -> bool:
        topic = self._settings.topic(COMMANDS)
        try:
            async with kafka.started(kafka.producer(self._settings, enable_idempotence=False)) as producer:
                await producer.send_and_wait(topic, encode_command(command), key=b"rules", partition=0)
        except KafkaError as error:
            log.warning("new rules wait for the broker", error=repr(error))
            return False
        log.info("new rules", command=command.id)
        return True


def rules_command(ruleset: RuleSet, now_ms: int, instance_id: str) -> Command:
    """The command that puts a rule set in force. The time in its id lets an older content come back."""
    return Command(
        id=f"rules-{ruleset.id}-{now_ms}",
        kind="rules",
        at=to_rfc3339(now_ms),
        by=f"files@{instance_id}"[:256],
        reason="rule files changed",
        ruleset=msgspec.Raw(encode_ruleset(ruleset)),
    )
