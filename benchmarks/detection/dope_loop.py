"""The detector as a user trains it with dope: the book's loss and sizes, images drawn by rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cases import CASES, LEARNING_RATE, OVERLAP, THRESHOLD
from clock import answer, arguments, rate
from epochs import Clock, timed


class Finding(Clock):
    """Times what finds boxes after the first step."""

    def __init__(self, seconds: float, images: np.ndarray, **given: Any) -> None:
        super().__init__(seconds, **given)
        self.images = images

    def on_step_end(self, trainer: Any) -> None:
        task, nets, n = trainer.task, trainer.engine.nets, trainer.options.batch_size

        def steps() -> Iterator[int]:
            while True:
                for start in range(0, len(self.images), n):
                    some = self.images[start : start + n]
                    task.find(nets, some, THRESHOLD, OVERLAP)
                    yield len(some)

        self.found = rate(steps(), self.seconds)
        self.end(trainer, loss=task.evaluate(trainer.engine)["valid_loss"])


def main() -> None:
    given = arguments(CASES)
    case, images = given.case, np.load(given.data / "images.npy")
    clock = Finding(given.seconds, images) if case.finds else Clock(given.seconds)
    found = timed(
        clock,
        "vision.ssd",
        task={"per": "boxes"},
        dataset={
            "name": "vision.shapes",
            "size": case.size,
            "train": len(images),
            "valid": case.batch if case.finds else 0,
            "test": 0,
            "augment": False,
        },
        loss={"name": "vision.focal"},
        optimizer={"name": "sgd", "learning_rate": LEARNING_RATE},
        trainer={"batch_size": case.batch, "schedule": "constant"},
    )
    answer(**found)


if __name__ == "__main__":
    main()
