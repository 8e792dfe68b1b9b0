"""The same models as a user trains them with dope: the book's profile, networks, rates and all."""

from __future__ import annotations

from typing import Any

from cases import CASES, examples
from clock import answer, arguments
from epochs import Clock, timed


def dataset(model: str, made: Any) -> dict[str, Any]:
    """dope's own, of the same shape and number: its images are drawn by rule, too."""
    if model == "gan":
        return {"name": "generative.gaussian", "n": len(made), "held_out": 10}
    if model == "dcgan":
        return {"name": "generative.faces", "n": len(made), "size": made.shape[-1]}
    n, size = made.shape[1], made.shape[-1]
    return {"name": "generative.houses", "train": n, "valid": 1, "size": size}


def main() -> None:
    given = arguments(CASES)
    case = given.case
    found = timed(
        Clock(given.seconds, loss="discriminator_loss", counted=case.counted / case.batch),
        f"generative.{case.model}",
        trainer={"batch_size": case.batch, "schedule": "constant"},
        profile="book",
        dataset=dataset(case.model, examples(given.data)),
    )
    answer(**found)


if __name__ == "__main__":
    main()
