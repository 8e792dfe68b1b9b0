"""The same models as a user trains them with dope: by ``dope.run``, timed by a callback.

Uses the public interface only. Evaluation, checkpoints and plots are not part of the comparison.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from typing import Any

from cases import CASES, LEARNING_RATE, answer, arguments

import dope
from dope.core.callbacks import Callback
from dope.core.errors import DopeError

# Model of a case: the task that trains it, and what its model is told.
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("vision.mlp", {"hidden": [256, 256], "dropout": 0.0}),
    "lenet": ("vision.cnn", {"channels": [20, 50], "dense": 128, "batch_norm": False}),
    "vgg": ("vision.vgg", {"blocks": [[1, 16], [1, 32], [2, 64], [2, 128]], "dense": 128}),
}
NEVER = 10**9


class Clock(Callback):
    """Times whole epochs after the first, and stops the run when there were enough."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.began = seconds, 0.0
        self.found: dict[str, float] = {}

    def on_fit_start(self, trainer: Any) -> None:
        self.fit_began = time.perf_counter()

    def on_epoch_end(self, trainer: Any, metrics: Mapping[str, float]) -> None:
        now = time.perf_counter()
        if not self.began:  # warm enough after the first epoch that ends after a third
            if now - self.fit_began > self.seconds / 3:
                self.began, self.examples = now, trainer.examples
        elif now - self.began > self.seconds:
            examples, took = trainer.examples - self.examples, now - self.began
            self.found = {"examples_per_s": examples / took, "examples": examples, "seconds": took}
            self.found["loss"] = metrics["loss"]
            trainer.stop("measured")


def main() -> None:
    given = arguments()
    case = CASES[given.case]
    task, model = TASKS[case.model]
    clock = Clock(given.seconds)
    with tempfile.TemporaryDirectory() as runs:
        try:
            run = dope.run(
                task,
                dataset={"name": "vision.mnist", "path": str(given.images)},
                model=model,
                optimizer={"name": "sgd", "learning_rate": LEARNING_RATE},
                trainer={
                    "epochs": NEVER,
                    "batch_size": case.batch,
                    "evaluate_every": NEVER,
                    "checkpoint_every": NEVER,
                },
                runs=runs,
                callbacks=[clock],
            )
        except DopeError as error:
            raise SystemExit(f"dope: {error}") from None
    parameters = sum(
        p.data().size for p in run.nets.collect_params().values() if p.grad_req != "null"
    )
    answer(parameters=parameters, **clock.found)


if __name__ == "__main__":
    main()
