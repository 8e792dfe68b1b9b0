"""The same models as a user trains them with dope: by ``dope.run``, timed by a callback.

Uses the public interface only. Evaluation, samples, checkpoints and plots are not compared.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from typing import Any

from corpora import CASES, LEARNING_RATE, answer, arguments

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
                self.began, self.tokens = now, trainer.examples
        elif now - self.began > self.seconds:
            tokens, took = trainer.examples - self.tokens, now - self.began
            self.found = {"tokens_per_s": tokens / took, "tokens": tokens, "seconds": took}
            self.found["loss"] = metrics["loss"]
            trainer.stop("measured")


def main() -> None:
    given = arguments()
    case = CASES[given.case]
    model: dict[str, Any] = {"cell": case.cell, "hidden": case.hidden, "layers": case.layers}
    model["dropout"] = case.dropout
    told: dict[str, Any] = {"steps": case.steps, "length": 0}
    if case.words:
        task = "nlp.word_lm"
        model |= {"embedding": case.hidden, "tied": False}
        told |= {"lower": False, "least": 1}
        dataset: dict[str, Any] = {"name": "nlp.ptb", "path": str(given.text)}
    else:
        task = "nlp.char_lm"
        model["impl"] = "scratch" if given.tool == "dope_scratch" else "gluon"
        dataset = {"name": "nlp.text", "path": str(given.text / "text.txt"), "valid": 0.0}
    clock = Clock(given.seconds)
    with tempfile.TemporaryDirectory() as runs:
        try:
            run = dope.run(
                task,
                dataset=dataset,
                model=model,
                task=told,
                optimizer={"name": "sgd", "learning_rate": LEARNING_RATE},
                trainer={
                    "epochs": NEVER,
                    "batch_size": case.streams,
                    "schedule": "constant",
                    "clip": None,
                    "plateau": None,
                    "evaluate_every": NEVER,
                    "checkpoint_every": NEVER,
                },
                runs=runs,
                callbacks=[clock],
            )
        except DopeError as error:
            raise SystemExit(f"dope: {error}") from None
    size = sum(p.data().size for p in run.nets.collect_params().values())
    answer(parameters=size, **clock.found)


if __name__ == "__main__":
    main()
