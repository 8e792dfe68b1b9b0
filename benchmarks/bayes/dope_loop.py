"""The same as a user trains it with dope."""

from __future__ import annotations

from cases import BATCH, CASES, PI, RATE, RHO, SIGMA, SIGMA1, SIGMA2, SIZES
from clock import answer, arguments
from epochs import Clock, timed


def main() -> None:
    given = arguments(CASES)
    case = given.case
    found = timed(
        Clock(given.seconds, loss="nll"),
        "bayes.by_backprop",
        trainer={"batch_size": BATCH},
        profile="book",
        task={
            "prior": case.prior,
            "local": case.local,
            "sigma": SIGMA,
            "rho": RHO,
            "pi": PI,
            "sigma1": SIGMA1,
            "sigma2": SIGMA2,
            "draws": 1,
        },
        dataset={"name": "vision.mnist", "path": str(given.data)},
        model={"name": "vision.mlp", "hidden": list(SIZES[1:-1])},
        optimizer={"name": case.optimizer, "learning_rate": RATE[case.optimizer]},
    )
    answer(**found)


if __name__ == "__main__":
    main()
