"""The Tree-LSTM as a user trains it with dope: by ``dope.run``, timed by a callback.

Uses the public interface only: `dope` by depth, `dope_off` by recursion.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from typing import Any

from pairs import BATCH, DECAY, DIM, HIDDEN, LEARNING_RATE, SIMILARITY, answer, arguments

import dope
from dope.core.callbacks import Callback
from dope.core.errors import DopeError

NEVER = 10**9


class Clock(Callback):
    """Times steps after a third of the time; then evaluates for as long, and stops the run."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.began, self.found = seconds, 0.0, {}

    def on_fit_start(self, trainer: Any) -> None:
        self.fit_began = time.perf_counter()

    def on_step_end(self, trainer: Any) -> None:
        now = time.perf_counter()
        if not self.began:
            if now - self.fit_began > self.seconds / 3:
                self.began, self.examples = now, trainer.examples
        elif not self.found and now - self.began > self.seconds:
            took = now - self.began
            self.found = {"train_pairs_per_s": (trainer.examples - self.examples) / took}
            self._evaluate(trainer)
            raise Measured("measured")  # trainer.stop() would wait for the end of the epoch

    def _evaluate(self, trainer: Any) -> None:
        task, engine = trainer.task, trainer.engine
        figures = None
        for limit in (self.seconds / 3, self.seconds):
            pairs, began = 0, time.perf_counter()
            while time.perf_counter() - began < limit:
                figures = task.evaluate(engine)
                pairs += len(task.dataset.split("valid"))
            self.found["eval_pairs_per_s"] = pairs / (time.perf_counter() - began)
        self.found["loss"] = figures["valid_loss"]
        self.found["parameters"] = sum(
            p.data().size for p in engine.nets.collect_params().values() if p.grad_req != "null"
        )


class Measured(DopeError):
    """There is nothing more to be measured."""


def main() -> None:
    given = arguments()
    clock = Clock(given.seconds)
    model: Mapping[str, Any] = {
        "name": "nlp.tree_lstm",
        "hidden": HIDDEN,
        "dim": DIM,
        "similarity": SIMILARITY,
        "batching": "off" if given.tool == "dope_off" else "depth",
    }
    with tempfile.TemporaryDirectory() as runs:
        try:
            dope.run(
                "nlp.tree_lstm",
                dataset={"name": "nlp.sick", "path": str(given.pairs)},
                model=model,
                optimizer={"name": "adagrad", "learning_rate": LEARNING_RATE, "wd": DECAY},
                trainer={"epochs": NEVER, "batch_size": BATCH, "evaluate_every": NEVER},
                runs=runs,
                callbacks=[clock],
            )
        except Measured:
            pass
        except DopeError as error:
            raise SystemExit(f"dope: {error}") from None
    answer(**clock.found)


if __name__ == "__main__":
    main()
