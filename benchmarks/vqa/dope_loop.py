"""The same as a user trains it with dope, on the same files."""

from __future__ import annotations

from cases import CASES, DROPOUT, RATE
from clock import answer, arguments
from epochs import Clock, timed


def main() -> None:
    given = arguments(CASES)
    case = given.case
    model = {"name": "vision.vqa_concat", "hidden": case.hidden, "dropout": DROPOUT}
    if case.sketch:
        model.update(name="vision.vqa_bilinear", sketch=case.sketch)
    found = timed(
        Clock(given.seconds),
        "vision.vqa",
        trainer={"batch_size": case.batch, "schedule": "constant"},
        task={"baselines": False},
        dataset={
            "name": "vision.vqa_archive",
            "path": str(given.data),
            "answers": case.answers,
        },
        model=model,
        optimizer={"name": "sgd", "learning_rate": RATE},
    )
    answer(**found)


if __name__ == "__main__":
    main()
