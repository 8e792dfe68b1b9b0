"""How a run shows that it goes on: a bar in a terminal or a notebook, lines of text elsewhere.

Holds two callbacks; what they show is asked of the trainer, and nothing of it waits for the device.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional, TextIO

from dope.core.callbacks import Callback

if TYPE_CHECKING:
    from dope.core.trainer import Trainer

GLANCE = 0.1  # seconds between two changes of the bar


def progress() -> Progress:
    """A bar in a terminal or a notebook, plain lines elsewhere."""
    notebook = "ipykernel" in sys.modules and "JPY_PARENT_PID" in os.environ
    return Bar() if notebook or sys.stderr.isatty() else Lines()


class Progress(Callback):
    """What a bar and lines share: the last figures, throughput and time left."""

    def on_fit_start(self, trainer: Trainer) -> None:
        self._began = self._last = time.monotonic()
        self._first_examples, self._first_steps = trainer.examples, trainer.total_steps
        self._figures: dict[str, Any] = {}

    def on_epoch_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        self._figures.update(metrics)

    def on_evaluation_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        self._figures.update(metrics)

    @property
    def text(self) -> str:
        """The last figures: ``loss 1.234  valid_loss 2.345``."""
        numbers = {k: v for k, v in self._figures.items() if isinstance(v, (int, float))}
        return "  ".join(f"{key} {value:.5g}" for key, value in numbers.items())

    def rate(self, trainer: Trainer) -> float:
        """Examples a second since the run began or went on."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        return (trainer.examples - self._first_examples) / seconds


class Lines(Progress):
    """One line at most every ``seconds`` at the end of an epoch, or of ten times that within one.

    Parameters
    ----------
    stream
        Where the lines go; standard error by default.
    seconds
        Shortest time between two lines, and silence before the first.
    """

    def __init__(self, stream: Optional[TextIO] = None, seconds: float = 2.0) -> None:
        self.stream, self.seconds = stream, seconds

    def on_step_end(self, trainer: Trainer) -> None:
        if time.monotonic() - self._last >= 10 * self.seconds:
            where = f"epoch {trainer.epoch + 1}/{trainer.options.epochs}"
            self._show(trainer, f"{where}  step {trainer.step}/{trainer.steps_per_epoch}")

    def on_epoch_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        super().on_epoch_end(trainer, metrics)
        if time.monotonic() - self._last >= self.seconds:
            where = f"epoch {trainer.epoch}/{trainer.options.epochs}"
            self._show(trainer, f"{where}  {self.text}")

    def _show(self, trainer: Trainer, text: str) -> None:
        self._last = time.monotonic()
        steps = trainer.total_steps - self._first_steps
        left = (self._last - self._began) / max(steps, 1) * trainer.steps_left
        line = f"{text}  {self.rate(trainer):,.0f} examples/s  {clock(left)} left"
        print(line, file=self.stream or sys.stderr, flush=True)


class Bar(Progress):
    """A moving bar; below it the last figures, the best so far, and the memory in use.

    Parameters
    ----------
    console
        The terminal, of rich; standard error by default.
    """

    def __init__(self, console: Any = None) -> None:
        self.console = console

    def on_fit_start(self, trainer: Trainer) -> None:
        super().on_fit_start(trainer)
        from rich import progress as rich
        from rich.console import Console, Group
        from rich.text import Text

        class Below(rich.Progress):
            """A bar with lines of text below it."""

            def get_renderables(self) -> Any:
                yield self.make_tasks_table(self.tasks)
                for task in self.tasks:
                    lines = filter(None, (task.fields["text"], task.fields["side"]))
                    yield Group(*(Text(f"  {each}", overflow="ellipsis") for each in lines))

        self._best: Any = None
        self._best_epoch = 0
        self._bar = Below(
            rich.TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            rich.BarColumn(bar_width=24),
            rich.TaskProgressColumn(),
            rich.TextColumn("{task.fields[rate]}"),
            rich.TimeRemainingColumn(),
            rich.TextColumn("left"),
            console=self.console or Console(stderr=True),
            transient=True,
        )
        total = trainer.total_steps + trainer.steps_left
        shown: dict[str, Any] = {"epoch": "", "epochs": trainer.options.epochs}
        shown.update(rate="", text="", side="")
        self._row = self._bar.add_task("training", total=total, **shown)
        self._refresh(trainer)
        self._bar.start()

    def on_step_end(self, trainer: Trainer) -> None:
        if time.monotonic() - self._last >= GLANCE:
            self._refresh(trainer)

    def on_evaluation_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        super().on_evaluation_end(trainer, metrics)
        self._refresh(trainer)

    def on_fit_end(self, trainer: Trainer, status: str) -> None:
        self._bar.stop()

    def side(self, trainer: Trainer) -> str:
        """The best so far and the memory: ``best valid_loss 1.25 (epoch 3)  memory 312 MB``."""
        best = getattr(trainer, "best", None)
        if best is not None and best != self._best:
            self._best, self._best_epoch = best, trainer.epoch
        said = []
        if best is not None:
            held = "valid_loss" if "valid_loss" in self._figures else "loss"
            name = getattr(trainer.options, "monitor", None) or held
            said.append(f"best {name} {best:.5g} (epoch {self._best_epoch})")
        used = memory()
        return "  ".join([*said, *([f"memory {used / 1e6:,.0f} MB"] if used else [])])

    def _refresh(self, trainer: Trainer) -> None:
        self._last = time.monotonic()
        rate = self.rate(trainer)
        self._bar.update(
            self._row,
            completed=trainer.total_steps,
            epoch=min(trainer.epoch + 1, trainer.options.epochs),
            rate=f"{rate:,.0f} examples/s" if rate else "",
            text=self.text,
            side=self.side(trainer),
        )


def memory() -> int:
    """Bytes of memory that this process has in use; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as handle:  # noqa: PTH123 (ten times a second)
            return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
