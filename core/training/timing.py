"""Where the time of an epoch goes: data, forward and backward, update, evaluation, files.

Holds sums of seconds; who measures what is the trainer's and the engine's matter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")


class Phases:
    """Seconds by phase since the last `row`.

    Two readings of a clock a phase, and nothing is asked of the device: where MXNet's engine is
    not synchronous, work is counted where something waits for it.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin anew."""
        self._began, self._steps = perf_counter(), 0
        self._seconds: dict[str, float] = {}

    def add(self, phase: str, seconds: float) -> None:
        """Count ``seconds`` to a phase."""
        self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds

    @contextlib.contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """Count the time of a block to a phase."""
        began = perf_counter()
        try:
            yield
        finally:
            self.add(phase, perf_counter() - began)

    def waiting(self, phase: str, items: Iterable[T]) -> Iterator[T]:
        """The items, the time that each takes to come counted to a phase."""
        source = iter(items)
        while True:
            began = perf_counter()
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                self.add(phase, perf_counter() - began)
            self._steps += 1
            yield item

    def row(self, epoch: int, updating: float) -> dict[str, Any]:
        """The seconds of one epoch, for ``timings.jsonl``; sums begin anew.

        Parameters
        ----------
        epoch
            Its number.
        updating
            Seconds that the engine took for reducing gradients and for updates, within "step".

        Returns
        -------
        dict
            ``epoch``, ``steps`` that were timed, ``seconds`` from start to end, and ``phases``:
            ``data``, ``forward_backward``, ``update``, ``evaluation``, ``samples``,
            ``checkpoints`` (those since the last row) and ``other``, all in seconds.
        """
        found, total = self._seconds, perf_counter() - self._began
        phases = {
            "data": found.get("data", 0.0),
            "forward_backward": max(0.0, found.get("step", 0.0) - updating),
            "update": updating,
            "evaluation": found.get("evaluation", 0.0),
            "samples": found.get("samples", 0.0),
            "checkpoints": found.get("checkpoints", 0.0),
        }
        phases["other"] = max(0.0, total - sum(phases.values()))
        steps = self._steps
        self.start()
        rounded = {name: round(seconds, 6) for name, seconds in phases.items()}
        return {"epoch": epoch, "steps": steps, "seconds": round(total, 6), "phases": rounded}
