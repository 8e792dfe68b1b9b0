"""Dividing ratings into parts: at random, by time, the last of each user; and which repeats stay.

Holds rows and their choice only; the parts themselves are made in ratings.py.
"""

from __future__ import annotations

from typing import Literal, Optional

import numpy as np

from dope.core.errors import ConfigError, DataError

How = Literal["random", "time", "last"]
Repeats = Literal["last", "first", "mean", "stop"]


def divide(
    how: How,
    users: np.ndarray,
    times: Optional[np.ndarray],
    *,
    test: float,
    valid: float,
    seed: int,
    held: Optional[np.ndarray] = None,
) -> dict[str, np.ndarray]:
    """Rows of ``train``, ``valid`` and ``test``, each ascending; parts without rows are left out.

    Parameters
    ----------
    how
        ``random``: drawn with ``seed``. ``time``: the latest ratings of all are the test part,
        those before them the validation part. ``last``: of each user the latest rating is for the
        test, the one before for validation, as long as one is left to learn from; ``test`` and
        ``valid`` then only say, by being 0 or not, which parts there are. Of ratings with the same
        time, those that stand later in the source count as later.
    users
        Number of the user of each rating, (n,).
    times
        Seconds, (n,); needed unless the split is random.
    test, valid
        Shares of all ratings, rounded; one rating at least stays for training.
    held
        Ratings that belong to the test part whatever else is drawn, (n,) of bool.

    Raises
    ------
    ConfigError
        The split needs times that are not known.
    """
    n = len(users)
    free = np.arange(n) if held is None else np.flatnonzero(~held)
    if how == "random":
        order = np.random.default_rng(seed).permutation(free)
    else:
        order = free[np.argsort(_known(how, times)[free], kind="stable")]
    if how == "last":
        place = _from_the_end(users[order])
        tests = order[(place == 0) & (test > 0)]
        # a user's second rating from the end, or the last where there is no test part
        valids = order[(place == (test > 0)) & (valid > 0)]
    else:
        most = len(order) - 1
        last = min(round(test * n), most)
        before = min(round(valid * n), most - last)
        tests = order[len(order) - last :]
        valids = order[len(order) - last - before : len(order) - last]
    if held is not None:
        tests = np.concatenate([tests, np.flatnonzero(held)])
    train = np.setdiff1d(free, np.concatenate([tests, valids]))
    parts = {"train": train, "valid": np.sort(valids), "test": np.sort(tests)}
    return {name: rows for name, rows in parts.items() if len(rows)}


def _from_the_end(users: np.ndarray) -> np.ndarray:
    """How many ratings of the same user follow each one; -1 for a user's first one, who keeps it.

    Parameters
    ----------
    users
        (n,), in the order of time.
    """
    order = np.argsort(users, kind="stable")
    sorted_users = users[order]
    edges = np.flatnonzero(np.diff(sorted_users)) + 1
    starts, ends = np.append(0, edges), np.append(edges, len(users))
    lengths = ends - starts
    place = np.repeat(ends, lengths) - 1 - np.arange(len(users))
    place[starts] = -1
    found = np.empty(len(users), np.int64)
    found[order] = place
    return found


def _known(how: str, times: Optional[np.ndarray]) -> np.ndarray:
    missing = 0 if times is None else int(np.isnan(times).sum())
    if times is None or missing:
        which = "the source has none" if times is None else f"{missing:,} ratings have none"
        raise ConfigError(
            f"dataset.split={how} goes by times, but {which}", "Take dataset.split=random."
        )
    return times


def repeats(users: np.ndarray, items: np.ndarray, times: Optional[np.ndarray]) -> np.ndarray:
    """Rows (m,) of the last rating of each user of each item; all rows where none is repeated.

    The last is the one with the latest time, where times are known, or else the one that stands
    last. Rows ascend.
    """
    pairs = users.astype(np.int64) * (int(items.max()) + 1) + items
    if len(np.unique(pairs)) == len(pairs):
        return np.arange(len(pairs))
    order = np.argsort(pairs, kind="stable")
    if times is not None:  # a rating without time is taken for older than any that has one
        order = np.lexsort((np.where(np.isnan(times), -np.inf, times), pairs))
    ends = np.append(np.flatnonzero(np.diff(pairs[order])), len(pairs) - 1)
    return np.sort(order[ends])


def settle(
    how: Repeats,
    users: np.ndarray,
    items: np.ndarray,
    values: np.ndarray,
    times: Optional[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that stay, ascending, when a user may rate an item but once, and their ratings.

    Parameters
    ----------
    how
        Which stays: the ``last`` or ``first`` by time, or by place where times are not known; or
        one with the ``mean`` of the ratings, at the place of the last. ``stop`` raises.

    Returns
    -------
    rows, values : ndarray
        (m,) each.

    Raises
    ------
    DataError
        A rating is repeated, and that is to stop all.
    """
    if how == "first":
        back = None if times is None else -times[::-1]
        rows = np.sort(len(users) - 1 - repeats(users[::-1], items[::-1], back))
        return rows, values[rows]
    rows = repeats(users, items, times)
    if len(rows) == len(users) or how == "last":
        return rows, values[rows]
    if how == "stop":
        raise DataError(
            f"{len(users) - len(rows):,} ratings repeat a user and an item",
            "Take dataset.duplicates=last, first or mean.",
        )
    pairs = users.astype(np.int64) * (int(items.max()) + 1) + items
    _, group, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    means = np.bincount(group, values.astype(np.float64)) / counts
    return rows, means[group[rows]].astype(values.dtype)
