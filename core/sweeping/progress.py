"""How a sweep shows that it goes on: a bar in a terminal or a notebook, lines of text elsewhere.

Holds what is shown only; it is told of members by pool.py, through who writes them down.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Optional, TextIO

from dope.core.terminal.present import number
from dope.core.terminal.progress import clock


class Quiet:
    """Shows nothing; counts what is over, how far the others are, and what is best so far.

    Parameters
    ----------
    members
        How many members the sweep has.
    before
        Rows of those that are over already.
    larger
        Whether larger is better.
    """

    def __init__(
        self, members: int, before: Mapping[int, Mapping[str, Any]], *, larger: bool
    ) -> None:
        self.members, self.larger = members, larger
        self.over_, self.failed = 0, 0
        self.best: Optional[tuple[str, float]] = None
        self.running: dict[int, float] = {}
        for row in before.values():
            self._count(row)
        self._first, self._began = self.over_, time.monotonic()

    def _count(self, row: Mapping[str, Any]) -> None:
        if row["status"] == "interrupted":
            return
        self.over_ += 1
        self.failed += row["status"] == "failed"
        for name, (value, _) in list(row.get("bests", {}).items())[:1]:
            known = self.best if self.best and self.best[0] == name else None
            if known is None or (value > known[1] if self.larger else value < known[1]):
                self.best = name, value

    @property
    def left(self) -> Optional[float]:
        """Seconds until all are over, if the others take as long; None where nothing is known."""
        made = self.over_ - self._first + sum(self.running.values())
        to_do = self.members - self._first - made
        spent = time.monotonic() - self._began
        return spent / made * to_do if made > 0.01 else None

    @property
    def text(self) -> str:
        """``3 of 20  best valid_loss 0.123  1 failed``."""
        said = [f"{self.over_} of {self.members}"]
        if self.best:
            said.append(f"best {self.best[0]} {number(float(self.best[1]))}")
        if self.failed:
            said.append(f"{self.failed} failed")
        return "  ".join(said)

    def share(self, member: int, share: float) -> None:
        """A member is that far."""
        self.running[member] = share

    def over(self, row: Mapping[str, Any]) -> None:
        """A member is done, failed or interrupted."""
        self.running.pop(row["member"], None)
        self._count(row)

    def tick(self) -> None:
        """Some time has passed."""

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *error: object) -> None:
        """The members are over, or the sweep is."""


class Lines(Quiet):
    """A line for each member that is over, at most one every ``seconds``; failures at once.

    Parameters
    ----------
    members, before, larger
        As in `Quiet`.
    stream
        Where the lines go; standard error by default.
    seconds
        Shortest time between two lines that are not of failures.
    """

    def __init__(
        self,
        members: int,
        before: Mapping[int, Mapping[str, Any]],
        *,
        larger: bool,
        stream: Optional[TextIO] = None,
        seconds: float = 2.0,
    ) -> None:
        super().__init__(members, before, larger=larger)
        self._stream, self._seconds, self._last = stream, seconds, time.monotonic()

    def over(self, row: Mapping[str, Any]) -> None:
        super().over(row)
        if row["status"] == "failed":
            self._say(f"member {row['member']} failed: {row['error']}")
        elif time.monotonic() - self._last >= self._seconds:
            left = f"  {clock(self.left)} left" if self.left is not None else ""
            self._say(self.text + left)

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        print(text, file=self._stream or sys.stderr, flush=True)


class Bar(Quiet):
    """A moving bar; failures are lines above it."""

    def __enter__(self) -> Bar:
        from rich import progress as rich
        from rich.console import Console

        self._bar = rich.Progress(
            rich.BarColumn(bar_width=24),
            rich.TaskProgressColumn(),
            rich.TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._row = self._bar.add_task("members", total=self.members, text=self.text)
        self._bar.start()
        self.tick()
        return self

    def over(self, row: Mapping[str, Any]) -> None:
        super().over(row)
        if row["status"] == "failed":
            self._bar.console.print(
                f"member {row['member']} failed: {row['error']}", markup=False, highlight=False
            )

    def tick(self) -> None:
        left = f"  {clock(self.left)} left" if self.left is not None else ""
        made = self.over_ + sum(self.running.values())
        self._bar.update(self._row, completed=made, text=self.text + left)

    def __exit__(self, *error: object) -> None:
        self._bar.stop()


def shown(
    progress: bool, members: int, before: Mapping[int, Mapping[str, Any]], *, larger: bool
) -> Quiet:
    """A bar in a terminal or a notebook, lines elsewhere; nothing without ``progress``."""
    if not progress:
        return Quiet(members, before, larger=larger)
    notebook = "ipykernel" in sys.modules and "JPY_PARENT_PID" in os.environ
    kind = Bar if notebook or sys.stderr.isatty() else Lines
    return kind(members, before, larger=larger)
