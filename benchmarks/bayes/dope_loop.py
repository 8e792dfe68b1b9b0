"""The same as a user trains it with dope: by ``dope.run``, timed by a callback.

Uses the public interface only. Evaluation, checkpoints and plots are not part of the comparison.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from typing import Any

from cases import (
    BATCH,
    CASES,
    PI,
    RATE,
    RHO,
    SIGMA,
    SIGMA1,
    SIGMA2,
    SIZES,
    answer,
    arguments,
)  # fmt: skip

import dope
from dope.core.callbacks import Callback
from dope.core.errors import DopeError

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
            self.found = {"rate": examples / took, "loss": metrics["nll"]}
            trainer.stop("measured")


def main() -> None:
    given = arguments()
    case = CASES[given.case]
    clock = Clock(given.seconds)
    with tempfile.TemporaryDirectory() as runs:
        try:
            run = dope.run(
                "bayes.by_backprop",
                profile="book",
                task={
                    "prior": case.prior, "local": case.local, "sigma": SIGMA, "rho": RHO,
                    "pi": PI, "sigma1": SIGMA1, "sigma2": SIGMA2, "draws": 1,
                },
                dataset={"name": "vision.mnist", "path": str(given.images)},
                model={"name": "vision.mlp", "hidden": list(SIZES[1:-1])},
                optimizer={"name": case.optimizer, "learning_rate": RATE[case.optimizer]},
                trainer={
                    "epochs": NEVER, "batch_size": BATCH, "evaluate_every": NEVER,
                    "checkpoint_every": NEVER,
                },
                runs=runs,
                callbacks=[clock],
            )  # fmt: skip
        except DopeError as error:
            raise SystemExit(f"dope: {error}") from None
    parameters = sum(
        p.data().size for p in run.nets.collect_params().values() if p.grad_req != "null"
    )
    answer(parameters=parameters, **clock.found)


if __name__ == "__main__":
    main()
