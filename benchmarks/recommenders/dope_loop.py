"""Matrix factorization as a user learns it with dope."""

from __future__ import annotations

from cases import CASES, FACTORS, L2
from clock import answer, arguments
from epochs import Clock, timed


def main() -> None:
    given = arguments(CASES)
    case = given.case
    path = str(given.data / "ratings.csv")
    found = timed(
        Clock(given.seconds),
        "recsys.ratings",
        trainer={"batch_size": case.batch},
        dataset={"name": "recsys.table", "path": path, "valid": 0.0, "test": 0.0},
        model={"name": "recsys.mf", "factors": FACTORS, "l2": L2},
        optimizer={"name": case.optimizer, "learning_rate": case.rate},
    )
    answer(**found)


if __name__ == "__main__":
    main()
