"""What came of one check, and the judging that all checks share.

Holds no check.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

RAN = ("passed", "failed")
WITH_REASON = ("exempt", "not applicable")  # not run, and for a stated reason


class NotApplicable(Exception):
    """A check that says nothing of this task or plugin, and why."""


@dataclass(frozen=True)
class Outcome:
    """What came of one check of one task, or of one plugin.

    Parameters
    ----------
    subject, check
        Names of the task or plugin, and of the check.
    state
        ``passed``, ``failed``, ``exempt`` (the task says why), ``not applicable`` (the check says
        why) or ``blocked`` (another check has to pass first).
    text
        Why it failed, is exempt, not applicable or blocked; empty where it passed.
    seconds
        Wall time, with runs that later checks use again.
    error
        What was raised, for a traceback.
    """

    subject: str
    check: str
    state: str
    text: str = ""
    seconds: float = 0.0
    error: Optional[BaseException] = None

    def __str__(self) -> str:
        return f"{self.subject} {self.check}: {self.state}" + (
            f": {self.text}" if self.text else ""
        )

    @property
    def line(self) -> str:
        """For people: state, seconds, what, and why."""
        took = f"{self.seconds:6.1f} s" if self.state in RAN else " " * 8
        reason = f": {self.text}" if self.text else ""
        return f"{self.state:<15}{took}  {self.subject} {self.check}{reason}"

    @property
    def good(self) -> bool:
        """It passed, or there is a stated reason why it could not run."""
        return self.state == "passed" or self.state in WITH_REASON

    def as_dict(self) -> Mapping[str, Any]:
        """As plain data."""
        keys = ("subject", "check", "state", "text")
        return {**{key: getattr(self, key) for key in keys}, "seconds": round(self.seconds, 3)}


def judge(subject: str, check: str, function: Callable[[], None]) -> Outcome:
    """Call what checks, and say what came of it."""
    began = time.monotonic()

    def outcome(state: str, text: str = "", error: Optional[BaseException] = None) -> Outcome:
        return Outcome(subject, check, state, text, time.monotonic() - began, error)

    try:
        function()
    except NotApplicable as reason:
        return outcome("not applicable", str(reason))
    except Exception as error:
        text = " ".join(str(error).split())
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return outcome("failed", kind + text, error)
    return outcome("passed")


def counted(outcomes: Iterable[Outcome]) -> str:
    """``12 passed, 1 exempt`` …, in words for people."""
    states = Counter(outcome.state for outcome in outcomes)
    order = ("passed", "failed", "blocked", *WITH_REASON)
    return ", ".join(f"{states[state]} {state}" for state in order if states[state]) or "nothing"
