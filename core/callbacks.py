"""The six events of a run, and the callbacks that every run has.

Holds no loop: the trainer calls these.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, TextIO

if TYPE_CHECKING:
    from dope.core.trainer import Trainer


class Callback:
    """Base of what watches a run; override the events that matter, all are optional.

    The trainer that is passed has ``epoch``, ``step``, ``total_steps``, ``examples``, ``metrics``
    (of the last epoch), ``options``, ``run`` (the run directory), ``engine``, ``task`` and
    ``stop(reason)``.
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        """Training begins or goes on."""

    def on_step_end(self, trainer: Trainer) -> None:
        """One step is done; nothing has been read back from the device."""

    def on_epoch_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        """An epoch is done; ``metrics`` are its means and may be added to."""

    def on_evaluation_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        """Held-out data was evaluated."""

    def on_checkpoint(self, trainer: Trainer, path: Path) -> None:
        """A checkpoint stands."""

    def on_fit_end(self, trainer: Trainer, status: str) -> None:
        """Training is over: ``done``, ``interrupted`` or ``failed``."""


def figures(metrics: Mapping[str, Any]) -> str:
    """``loss 1.234  valid_loss 2.345`` for people."""
    shown = [f"{k} {v:.5g}" for k, v in metrics.items() if isinstance(v, (int, float))]
    return "  ".join(shown)


class PlainProgress(Callback):
    """Progress as plain lines, for files and pipes: one at most every ``seconds``.

    Parameters
    ----------
    stream
        Where the lines go; standard error by default.
    seconds
        Shortest time between two lines, and silence before the first.
    """

    def __init__(self, stream: Optional[TextIO] = None, seconds: float = 2.0) -> None:
        self.stream, self.seconds = stream, seconds

    def on_fit_start(self, trainer: Trainer) -> None:
        self._began = self._last = time.monotonic()
        self._first_examples, self._first_steps = trainer.examples, trainer.total_steps

    def on_epoch_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._last >= self.seconds:
            self._last = now
            print(self.line(trainer, metrics), file=self.stream or sys.stderr, flush=True)

    def line(self, trainer: Trainer, metrics: Mapping[str, float]) -> str:
        """Epoch, figures, throughput and time left."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = (trainer.examples - self._first_examples) / seconds
        steps = trainer.total_steps - self._first_steps
        left = seconds / max(steps, 1) * trainer.steps_left
        return (
            f"epoch {trainer.epoch}/{trainer.options.epochs}  {figures(metrics)}  "
            f"{rate:,.0f} examples/s  {clock(left)} left"
        )


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class RichProgress(PlainProgress):
    """Progress as a moving bar, for terminals."""

    def on_fit_start(self, trainer: Trainer) -> None:
        super().on_fit_start(trainer)
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
            transient=True,
        )
        total = trainer.total_steps + trainer.steps_left
        self._row = self._bar.add_task("training", total=total, rate="", figures="")
        self._bar.update(self._row, completed=trainer.total_steps)
        self._bar.start()

    def on_step_end(self, trainer: Trainer) -> None:
        self._bar.update(self._row, completed=trainer.total_steps)

    def on_epoch_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = (trainer.examples - self._first_examples) / seconds
        self._bar.update(self._row, rate=f"{rate:,.0f}/s", figures=figures(metrics))

    def on_fit_end(self, trainer: Trainer, status: str) -> None:
        self._bar.stop()
