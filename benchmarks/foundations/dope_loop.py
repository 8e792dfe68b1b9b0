"""The same as a user trains it with dope: its own points of the same plane, as many."""

from __future__ import annotations

from cases import CASES, RATE, points
from clock import answer, arguments
from epochs import Clock, timed


def main() -> None:
    given = arguments(CASES)
    case = given.case
    found = timed(
        Clock(given.seconds, counted=1 / case.batch),
        "tabular.linear_regression",
        trainer={"batch_size": case.batch},
        dataset={"name": "tabular.plane", "train": len(points(given.data)[0]), "test": 0},
        optimizer={"name": "sgd", "learning_rate": RATE},
    )
    answer(**found)


if __name__ == "__main__":
    main()
