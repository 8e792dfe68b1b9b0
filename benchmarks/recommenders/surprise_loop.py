"""The same in scikit-surprise: its SVD, one rating after the other, in an environment of its own.

It goes on in the interpreter that DOPE_SURPRISE_PYTHON names, for surprise wants its own NumPy.
"""

from __future__ import annotations

import os
import sys
import time

from cases import CASES, FACTORS, L2, PER_RATING, read_ratings
from clock import answer, arguments

OWN = "DOPE_SURPRISE_PYTHON"


def main() -> None:
    given = arguments(CASES)
    import numpy as np
    from surprise import SVD
    from surprise.trainset import Trainset

    users, items, values = read_ratings(given.data)
    by_user: dict[int, list[tuple[int, float]]] = {}
    by_item: dict[int, list[tuple[int, float]]] = {}
    for u, i, value in zip(users.tolist(), items.tolist(), values.tolist()):
        by_user.setdefault(u, []).append((i, value))
        by_item.setdefault(i, []).append((u, value))
    case, same = given.case, {}
    known = Trainset(by_user, by_item, case.users, case.items, len(values), (1, 5), same, same)

    def fitted(epochs: int) -> tuple[SVD, float]:
        model = SVD(n_factors=FACTORS, n_epochs=epochs, lr_all=PER_RATING, reg_all=L2)
        began = time.perf_counter()
        model.fit(known)
        return model, time.perf_counter() - began

    _, once = fitted(1)
    epochs = max(1, round(given.seconds / once))
    model, took = fitted(epochs)
    rates = model.bu[users] + model.bi[items] + known.global_mean
    rates += np.einsum("nk,nk->n", model.pu[users], model.qi[items])
    loss = float(np.mean((rates - values) ** 2) / 2)
    size = sum(each.size for each in (model.bu, model.bi, model.pu, model.qi))
    done = epochs * len(values)
    answer(loss=loss, parameters=size, rate=done / took, done=done, seconds=took)


if __name__ == "__main__":
    if OWN in os.environ and not os.environ.get("DOPE_SURPRISE_BEGUN"):
        os.environ["DOPE_SURPRISE_BEGUN"] = "1"
        python = os.environ[OWN]
        try:
            os.execv(python, [python, *sys.argv])
        except OSError as error:
            sys.exit(f"RuntimeError: {python}: {error.strerror}")
    try:
        main()
    except ImportError as error:
        sys.exit(f"ImportError: {error}: set {OWN} (benchmarks/README.md says how)")
