"""The same models as a user trains them with dope."""

from __future__ import annotations

from typing import Any

from cases import CASES, LEARNING_RATE
from clock import answer, arguments
from epochs import Clock, timed

# Model of a case: the task that trains it, and what its model is told.
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("vision.mlp", {"hidden": [256, 256], "dropout": 0.0}),
    "lenet": ("vision.cnn", {"channels": [20, 50], "dense": 128, "batch_norm": False}),
    "vgg": ("vision.vgg", {"blocks": [[1, 16], [1, 32], [2, 64], [2, 128]], "dense": 128}),
}


def main() -> None:
    given = arguments(CASES)
    task, model = TASKS[given.case.model]
    found = timed(
        Clock(given.seconds),
        task,
        trainer={"batch_size": given.case.batch},
        dataset={"name": "vision.mnist", "path": str(given.data)},
        model=model,
        optimizer={"name": "sgd", "learning_rate": LEARNING_RATE},
    )
    answer(**found)


if __name__ == "__main__":
    main()
