"""dope as a tool that is measured: a run as its users start one, timed by a callback.

Uses the public interface only. Evaluation, checkpoints and plots are not part of the comparison.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from typing import Any

import dope
from dope.core.callbacks import Callback
from dope.core.errors import DopeError

NEVER = 10**9


class Measured(DopeError):
    """Ends the run: there is nothing more to be measured."""


class Clock(Callback):
    """Times whole epochs after the first, and ends the run when there were enough.

    Parameters
    ----------
    seconds
        How long to measure, after a third of that to warm up.
    loss
        The metric of an epoch that says whether it learns.
    counted
        What an example counts for.
    """

    def __init__(self, seconds: float, loss: str = "loss", counted: float = 1) -> None:
        self.seconds, self.loss, self.counted = seconds, loss, counted
        self.began, self.found = 0.0, {}

    def on_fit_start(self, trainer: Any) -> None:
        self.fit_began = time.perf_counter()

    def on_epoch_end(self, trainer: Any, metrics: Mapping[str, float]) -> None:
        if self.enough(trainer):
            self.end(trainer, loss=metrics[self.loss])

    def enough(self, trainer: Any) -> bool:
        """Whether all is measured; begins to measure where it is warm."""
        now = time.perf_counter()
        if not self.began:
            if now - self.fit_began > self.seconds / 3:
                self.began, self.examples = now, trainer.examples
            return False
        done, took = self.counted * (trainer.examples - self.examples), now - self.began
        self.found = {"rate": done / took, "done": done, "seconds": took}
        return took > self.seconds

    def end(self, trainer: Any, **found: float) -> None:
        """Note what was found, and end the run at once."""
        learned = {id(p): p for _, p in trainer.engine.networks.named() if p.grad_req != "null"}
        self.found |= {"parameters": sum(p.data().size for p in learned.values()), **found}
        raise Measured("measured")


def timed(clock: Clock, name: str, /, trainer: Mapping[str, Any], **told: Any) -> dict[str, Any]:
    """What a clock finds in a run that only it ends, as `clock.answer` takes it.

    Parameters
    ----------
    clock
        Ends the run.
    name
        Of the task.
    trainer, told
        As for `dope.run`.
    """
    often = {"epochs": NEVER, "evaluate_every": NEVER, "checkpoint_every": NEVER, **trainer}
    with tempfile.TemporaryDirectory() as runs:
        try:
            dope.run(name, trainer=often, runs=runs, callbacks=[clock], **told)
        except Measured:
            return clock.found
        except DopeError as error:
            raise SystemExit(f"dope: {error}") from None
    raise SystemExit("dope: the run ended by itself")
