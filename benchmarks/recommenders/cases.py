"""What is measured: sizes of data, batches and optimizers; and the ratings that are made up.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

FACTORS = 64
L2 = 0.02
PER_RATING = 0.005  # rate of a single rating, as Surprise has it; of a batch's mean, times its size
ADAM_RATE = 0.003


@dataclass(frozen=True)
class Case:
    """One set of ratings, learned in one way.

    Parameters
    ----------
    users, items, ratings
        How many: a multiple of ``batch``, so that no tool gains by a smaller last batch.
    batch
        Ratings a step; Surprise takes one at a time.
    optimizer
        ``sgd`` or ``adam``.
    """

    users: int
    items: int
    ratings: int
    batch: int
    optimizer: str = "sgd"

    @property
    def parameters(self) -> int:
        """Learned numbers: factors and a bias of each user and item."""
        return (self.users + self.items) * (FACTORS + 1)

    @property
    def rate(self) -> float:
        """Learning rate for the mean over a batch."""
        return ADAM_RATE if self.optimizer == "adam" else PER_RATING * self.batch


SMALL, LARGE = (943, 1682, 98_304), (6040, 3706, 983_040)  # of MovieLens 100K and 1M, about
CASES = {
    "100k-8192": Case(*SMALL, 8192),
    "100k-32768": Case(*SMALL, 32768),
    "100k-adam": Case(*SMALL, 8192, "adam"),
    "1m-8192": Case(*LARGE, 8192),
    "1m-32768": Case(*LARGE, 32768),
    "1m-adam": Case(*LARGE, 8192, "adam"),
}


def write_ratings(folder: Path, case: Case) -> None:
    """Write users, items and ratings as ``ratings.npz`` and as ``ratings.csv``.

    Every user and item is there; items of rank r are rated about 1 / (50 + r) as often.
    """
    rng = np.random.default_rng(0)
    n, weights = case.ratings, 1 / (50.0 + np.arange(case.items))
    users = rng.integers(0, case.users, 2 * n)
    items = rng.choice(case.items, 2 * n, p=weights / weights.sum())
    pairs = np.concatenate(
        [
            np.arange(case.users) * case.items + np.arange(case.users) % case.items,
            np.arange(case.items) % case.users * case.items + np.arange(case.items),
            users * case.items + items,
        ]
    )
    _, first = np.unique(pairs, return_index=True)
    pairs = rng.permutation(pairs[np.sort(first)[:n]])
    users, items = pairs // case.items, pairs % case.items
    b, c = rng.normal(scale=0.4, size=case.users), rng.normal(scale=0.5, size=case.items)
    p, q = rng.normal(size=(case.users, 4)), rng.normal(scale=0.3, size=(case.items, 4))
    values = 3.5 + b[users] + c[items] + np.einsum("nk,nk->n", p[users], q[items])
    values = np.clip(np.round(values + rng.normal(scale=0.7, size=n)), 1, 5)
    np.savez(folder / "ratings.npz", users=users, items=items, values=values.astype(np.float32))
    lines = (f"{u},{i},{value:g}" for u, i, value in zip(users, items, values))
    (folder / "ratings.csv").write_text("user,item,rating\n" + "\n".join(lines) + "\n")


def read_ratings(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, items and ratings (n,)."""
    with np.load(folder / "ratings.npz") as found:
        return found["users"], found["items"], found["values"]
