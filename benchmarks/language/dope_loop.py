"""The same models as a user trains them with dope."""

from __future__ import annotations

from typing import Any

from clock import answer, arguments
from corpora import CASES, LEARNING_RATE
from epochs import Clock, timed


def main() -> None:
    given = arguments(CASES)
    case = given.case
    model: dict[str, Any] = {"cell": case.cell, "hidden": case.hidden, "layers": case.layers}
    model["dropout"] = case.dropout
    told: dict[str, Any] = {"steps": case.steps, "length": 0}
    if case.words:
        task = "nlp.word_lm"
        model |= {"embedding": case.hidden, "tied": False}
        told |= {"lower": False, "least": 1}
        dataset: dict[str, Any] = {"name": "nlp.ptb", "path": str(given.data)}
    else:
        task = "nlp.char_lm"
        model["impl"] = "scratch" if given.tool == "dope_scratch" else "gluon"
        dataset = {"name": "nlp.text", "path": str(given.data / "text.txt"), "valid": 0.0}
    found = timed(
        Clock(given.seconds),
        task,
        trainer={
            "batch_size": case.streams,
            "schedule": "constant",
            "clip": None,
            "plateau": None,
        },
        dataset=dataset,
        model=model,
        task=told,
        optimizer={"name": "sgd", "learning_rate": LEARNING_RATE},
    )
    answer(**found)


if __name__ == "__main__":
    main()
