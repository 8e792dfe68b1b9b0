"""Fine-tuning as a user does it with dope: all layers, weighted classes, images from files.

The images are in memory when it begins, as bytes, and are not varied.
"""

from __future__ import annotations

from cases import CASES, CLASSES, DECAY, LEARNING_RATE, POSITIVE
from clock import answer, arguments
from epochs import Clock, timed

NAMES = sorted(CLASSES)  # a folder's classes are in the order of their names


def main() -> None:
    given = arguments(CASES)
    case = given.case
    weights = {"not hotdog": 1 / POSITIVE, "hotdog": (1 + POSITIVE) / POSITIVE}
    found = timed(
        Clock(given.seconds),
        "vision.finetune",
        task={
            "pretrain_epochs": 0,
            "scratch": False,
            "class_weights": [weights[name] for name in NAMES],
        },
        dataset={
            "name": "vision.photos",
            "path": str(given.data),
            "size": case.size,
            "augment": False,
        },
        model={"name": "vision.zoo", "network": "squeezenet1.1"},
        optimizer={"name": "sgd", "learning_rate": LEARNING_RATE, "wd": DECAY},
        trainer={"batch_size": case.batch, "monitor": None},
    )
    answer(**found)


if __name__ == "__main__":
    main()
