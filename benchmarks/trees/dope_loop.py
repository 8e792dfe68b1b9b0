"""The Tree-LSTM as a user trains it with dope: `dope` by depth, `dope_recursion` node by node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clock import answer, arguments, rate
from epochs import Clock, timed
from pairs import BATCH, CASES, DECAY, DIM, HIDDEN, LEARNING_RATE, SIMILARITY


class Steps(Clock):
    """Times steps, for an epoch by recursion takes minutes."""

    def on_step_end(self, trainer: Any) -> None:
        if self.enough(trainer):
            self.end(trainer, loss=trainer.task.evaluate(trainer.engine)["valid_loss"])


class Evaluations(Clock):
    """Times evaluations after the first step."""

    def on_step_end(self, trainer: Any) -> None:
        task, figures = trainer.task, {}

        def steps() -> Iterator[int]:
            while True:
                figures.update(task.evaluate(trainer.engine))
                yield len(task.dataset.split("valid"))

        self.found = rate(steps(), self.seconds)
        self.end(trainer, loss=figures["valid_loss"])


def main() -> None:
    given = arguments(CASES)
    found = timed(
        (Steps if given.case == "train" else Evaluations)(given.seconds),
        "nlp.tree_lstm",
        trainer={"batch_size": BATCH},
        dataset={"name": "nlp.sick", "path": str(given.data)},
        model={
            "name": "nlp.tree_lstm",
            "hidden": HIDDEN,
            "dim": DIM,
            "similarity": SIMILARITY,
            "batching": "off" if given.tool == "dope_recursion" else "depth",
        },
        optimizer={"name": "adagrad", "learning_rate": LEARNING_RATE, "wd": DECAY},
    )
    answer(**found)


if __name__ == "__main__":
    main()
