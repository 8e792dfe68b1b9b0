"""How well a list of recommendations is: recall, precision, NDCG and MAP over the full catalogue.

Holds the lists and the figures, each user by itself; scores are the model's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

CELLS = 1 << 22  # scores that are looked at together
Scores = Callable[[np.ndarray], np.ndarray]


class Pairs(NamedTuple):
    """Pairs of user and item, sorted by user.

    Parameters
    ----------
    begin
        (U + 1,) where each user's part begins.
    items
        All items, one user after the other.
    """

    begin: np.ndarray
    items: np.ndarray

    @classmethod
    def of(cls, users: np.ndarray, items: np.ndarray, count: int) -> Pairs:
        """From users (n,) and items (n,) in any order, with ``count`` users in all."""
        order = np.argsort(users, kind="stable")
        counts = np.bincount(users, minlength=count)
        return cls(np.concatenate([[0], np.cumsum(counts)]), np.asarray(items)[order])

    def mark(self, cells: np.ndarray, users: np.ndarray, value: float) -> None:
        """Set the cells (n, I) of the items of n users."""
        counts = self.begin[users + 1] - self.begin[users]
        ends = np.cumsum(counts)
        ahead = np.repeat(self.begin[users] - (ends - counts), counts)
        rows = np.repeat(np.arange(len(users)), counts)
        cells[rows, self.items[np.arange(len(rows)) + ahead]] = value


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """The k best items of each row of scores (n, I), the best first; int64 (n, min(k, I)).

    Of equal scores the item with the lower number comes first, whatever else is in the row.
    """
    n, count = scores.shape
    if k < count:
        top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        least = np.take_along_axis(scores, top, 1).min(axis=1, keepdims=True)
        tied = np.flatnonzero((scores >= least).sum(axis=1) > k)  # some were left out by chance
        for row in tied:
            line, limit = scores[row], least[row, 0]
            above = np.flatnonzero(line > limit)
            equal = np.flatnonzero(line == limit)
            top[row] = np.concatenate([above, equal[: k - len(above)]])
    else:
        top = np.broadcast_to(np.arange(count), (n, count)).copy()
    values = np.take_along_axis(scores, top, 1)
    return np.take_along_axis(top, np.lexsort((top, -values), axis=1), 1)


def hits(
    scores: Scores, relevant: Pairs, seen: Pairs, users: np.ndarray, items: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which places of each user's list of k are relevant, and how many items are.

    Parameters
    ----------
    scores
        Scores of n users for all items, (n, I), in an array that may be changed.
    relevant
        What should be found.
    seen
        What is left out of the lists; a relevant item among it does not count.
    users
        (n,) whose lists.
    items
        I.
    k
        Length of the lists.

    Returns
    -------
    bool (n, min(k, I)) and int64 (n,)
    """
    block, length = max(1, CELLS // items), min(k, items)
    found = np.zeros((len(users), length), bool)
    counts = np.zeros(len(users), np.int64)
    for start in range(0, len(users), block):
        part = users[start : start + block]
        wanted = np.zeros((len(part), items), bool)
        relevant.mark(wanted, part, True)
        seen.mark(wanted, part, False)
        given = scores(part)
        seen.mark(given, part, -np.inf)
        rows = slice(start, start + len(part))
        found[rows] = np.take_along_axis(wanted, best(given, k), 1)
        counts[rows] = wanted.sum(axis=1)
    return found, counts


def figures(found: np.ndarray, counts: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """Figures of each list at k, (n,) each.

    Parameters
    ----------
    found
        bool (n, K): whether the item in each place is relevant; K is at least k, or the whole
        catalogue.
    counts
        (n,) relevant items of each user, each at least 1.
    k
        Where the lists end.

    Notes
    -----
    With r_j whether place j is relevant, n_j the number of relevant ones up to j, and R of all::

        recall    = n_k / R
        precision = n_k / k, of a shorter catalogue too
        NDCG      = (sum of r_j / log2(j + 1)) / (sum over j up to min(k, R) of 1 / log2(j + 1))
        MAP       = (sum of r_j n_j / j) / min(k, R)
    """
    lists = found[:, :k].astype(np.float64)
    length = lists.shape[1]
    total, places = lists.sum(axis=1), np.arange(1, length + 1)
    discounts = 1 / np.log2(places + 1)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    most = np.minimum(counts, k)
    return {
        "recall": total / counts,
        "precision": total / k,
        "ndcg": lists @ discounts / ideal[most],
        "map": (lists * lists.cumsum(axis=1) / places).sum(axis=1) / most,
    }


def judged(
    scores: Scores,
    relevant: Pairs,
    seen: Pairs,
    warm: np.ndarray,
    items: int,
    cutoffs: Sequence[int],
) -> dict[str, dict[str, float]]:
    """Mean figures over users, those with training ratings apart from those without.

    Parameters
    ----------
    scores, relevant, seen, items
        As in `hits`.
    warm
        bool (U,): whether a user has training ratings.
    cutoffs
        Lengths of lists.

    Returns
    -------
    dict
        ``warm`` and ``cold``: ``users`` that are judged; ``without``, those who have nothing
        relevant that they have not seen and are left out; and where there is a user to judge,
        each figure at each length, as ``recall@10``.
    """
    result: dict[str, dict[str, float]] = {}
    for name, users in (("warm", np.flatnonzero(warm)), ("cold", np.flatnonzero(~warm))):
        asked = users[relevant.begin[users + 1] > relevant.begin[users]]
        found, counts = hits(scores, relevant, seen, asked, items, max(cutoffs))
        kept = counts > 0
        result[name] = {"users": int(kept.sum()), "without": int(len(users) - kept.sum())}
        if not kept.any():
            continue
        for k in cutoffs:
            made = figures(found[kept], counts[kept], k)
            result[name].update({f"{figure}@{k}": float(made[figure].mean()) for figure in made})
    return result
