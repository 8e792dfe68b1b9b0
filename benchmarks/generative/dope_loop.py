"""The same models as a user trains them with dope: by ``dope.run``, timed by a callback.

Uses the public interface only. Evaluation, samples, checkpoints and plots are not compared.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from typing import Any

from cases import CASES, Case, answer, arguments

import dope
from dope.core.callbacks import Callback
from dope.core.errors import DopeError

NEVER = 10**9


def gan(case: Case) -> dict[str, Any]:
    """The book's profile: networks, rates and all."""
    return {
        "task_name": "generative.gan",
        "profile": "book",
        "dataset": {"name": "generative.gaussian", "n": case.examples, "held_out": 10},
    }


def dcgan(case: Case) -> dict[str, Any]:
    """The book's networks and rates, on drawn images of the same size."""
    return {
        "task_name": "generative.dcgan",
        "profile": "book",
        "dataset": {"name": "generative.faces", "n": case.examples, "size": 64},
    }


def pix2pix(case: Case) -> dict[str, Any]:
    """The book's networks and rates, on drawn houses."""
    return {
        "task_name": "generative.pix2pix",
        "profile": "book",
        "dataset": {"name": "generative.houses", "train": case.examples, "valid": 1, "size": 128},
    }


TOLD = {
    "gan": gan,
    "dcgan": dcgan,
    "pix2pix": pix2pix,
}  # by model: what dope.run is told beside the trainer's options


class Clock(Callback):
    """Times whole epochs after the first, and stops the run when there were enough."""

    def __init__(self, seconds: float, case: Case) -> None:
        self.seconds, self.case, self.began = seconds, case, 0.0
        self.found: dict[str, float] = {}

    def on_fit_start(self, trainer: Any) -> None:
        self.fit_began = time.perf_counter()

    def on_epoch_end(self, trainer: Any, metrics: Mapping[str, float]) -> None:
        now = time.perf_counter()
        if not self.began:  # warm enough after the first epoch that ends after a third
            if now - self.fit_began > self.seconds / 3:
                self.began, self.examples = now, trainer.examples
        elif now - self.began > self.seconds:
            steps, took = (trainer.examples - self.examples) / self.case.batch, now - self.began
            done = steps * self.case.counted
            self.found = {"rate": done / took, "done": done, "seconds": took}
            self.found["loss"] = metrics["discriminator_loss"]
            trainer.stop("measured")


def main() -> None:
    given = arguments()
    case = CASES[given.case]
    told = TOLD[case.model](case)
    clock = Clock(given.seconds, case)
    trainer = {
        "epochs": NEVER,
        "batch_size": case.batch,
        "schedule": "constant",
        "evaluate_every": NEVER,
        "checkpoint_every": NEVER,
        **told.pop("trainer", {}),
    }
    with tempfile.TemporaryDirectory() as runs:
        try:
            name = told.pop("task_name")
            run = dope.run(name, trainer=trainer, runs=runs, callbacks=[clock], **told)
        except DopeError as error:
            raise SystemExit(f"dope: {error}") from None
    size = sum(
        p.data().size
        for net in run.nets.values()
        for p in net.collect_params().values()
        if p.grad_req != "null"
    )
    answer(parameters=size, **clock.found)


if __name__ == "__main__":
    main()
