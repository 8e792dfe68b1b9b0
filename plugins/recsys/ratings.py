"""What every set of ratings is: who rated what how high, its parts, its options, its folds.

Holds the base class; how parts are chosen is in splitting.py, what files share in rating_file.py.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, List, Literal, NamedTuple, Optional

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError, did_you_mean
from dope.core.folds import left_out
from dope.plugins.recsys.splitting import divide


class Ratings(NamedTuple):
    """Some ratings: user ``users[i]`` gave item ``items[i]`` the rating ``values[i]``.

    Parameters
    ----------
    users, items
        int32 (n,), places in `RatingSet.users` and `RatingSet.items`.
    values
        float32 (n,).
    times
        float64 (n,), seconds since 1970; None where the source has none, and nan where it has
        none for this rating.
    """

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray
    times: Optional[np.ndarray] = None

    def take(self, rows: np.ndarray) -> Ratings:
        """Those of some rows."""
        times = None if self.times is None else self.times[rows]
        return Ratings(self.users[rows], self.items[rows], self.values[rows], times)


class Source(NamedTuple):
    """All that a source says: its ratings, no pair of user and item twice, and identifiers.

    Parameters
    ----------
    users, items
        Identifiers.
    held
        Ratings that are never for training, (n,) of bool, or None.
    """

    ratings: Ratings
    users: List[str]
    items: List[str]
    held: Optional[np.ndarray] = None


class RatingSet:
    """Base of all sets of ratings. A subclass overrides `read`; that is called when first needed.

    Parameters
    ----------
    split
        ``random``: parts are drawn with ``seed``. ``time``: the latest ratings of all are the
        test part, those before them the validation part. ``last``: the latest rating of each user
        is for the test, the one before for validation; who has one rating keeps it for training.
    test, valid
        Shares of all ratings in the test and validation part; with ``split=last`` 0 means that
        there is no such part, and any other number that there is.
    seed
        Of all that is drawn.

    Attributes
    ----------
    repeated : int
        Ratings that were put aside because the user had rated the item before or after.
    skipped : int
        Lines that could not be read, where those are skipped.
    skipped_lines : sequence of str
        The first few of them, each with its reason.
    """

    repeated = 0
    skipped = 0
    skipped_lines: Sequence[str] = ()

    def __init__(
        self,
        *,
        split: Literal["random", "time", "last"] = "random",
        test: float = 0.1,
        valid: float = 0.1,
        seed: int = 0,
    ) -> None:
        if split not in ("random", "time", "last"):
            raise ConfigError(f"dataset.split is '{split}'", "It is random, time or last.")
        for name, share in (("test", test), ("valid", valid)):
            if not 0 <= share < 1:
                raise ConfigError(f"dataset.{name} is {share}", "It is at least 0 and below 1.")
        if test + valid >= 1:
            raise ConfigError(
                f"dataset.test={test} and dataset.valid={valid} leave nothing to learn from",
                "Together they are below 1.",
            )
        if seed < 0:
            raise ConfigError(f"dataset.seed is {seed}", "It is 0 or more.")
        self.how, self.shares, self.seed = split, {"test": test, "valid": valid}, seed

    def read(self) -> Source:
        """All ratings."""
        raise NotImplementedError

    def read_titles(self) -> Mapping[str, str]:
        """Item identifiers to titles, as far as they are known."""
        return {}

    @cached_property
    def source(self) -> Source:
        """All ratings; they are read at the first call."""
        return self.read()

    @cached_property
    def rows(self) -> Mapping[str, np.ndarray]:
        """Part to rows of the source, ascending."""
        ratings = self.source.ratings
        return divide(
            self.how, ratings.users, ratings.times, **self.shares, seed=self.seed,
            held=self.source.held,
        )  # fmt: skip

    @cached_property
    def parts(self) -> Mapping[str, Ratings]:
        """``train``, and ``valid`` and ``test`` where they have any ratings, in the source's order.

        Raises
        ------
        ConfigError
            A file is missing, or the split needs times that the source has not.
        DataError
            A file is not what it should be.
        """
        return {name: self.source.ratings.take(rows) for name, rows in self.rows.items()}

    @property
    def users(self) -> List[str]:
        """Identifiers of all users, in order of first appearance in the source."""
        return self.source.users

    @property
    def items(self) -> List[str]:
        """Identifiers of all items, in order of first appearance in the source."""
        return self.source.items

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """Item identifiers to titles; may be empty."""
        return self.read_titles()

    @property
    def scale(self) -> tuple[float, float]:
        """The lowest and the highest rating of the source."""
        values = self.source.ratings.values
        return float(values.min()), float(values.max())

    @cached_property
    def user_counts(self) -> np.ndarray:
        """Training ratings of each user, int64 (U,); 0 is a cold one."""
        return np.bincount(self.parts["train"].users, minlength=len(self.users))

    @cached_property
    def item_counts(self) -> np.ndarray:
        """Training ratings of each item, int64 (I,); 0 is a cold one."""
        return np.bincount(self.parts["train"].items, minlength=len(self.items))

    @property
    def facts(self) -> Mapping[str, float]:
        """What is known of the best possible figures; empty unless the data is generated."""
        return {}

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of users int32 (n,), items int32 (n,), ratings float32 (n,), or None.

        Only ``train`` is shuffled. None means that there is no such part.
        """
        part = self.parts.get(split)
        if part is None:
            return None
        return ArrayBatches(part[:3], batch_size, shuffle=split == "train")

    def fold(self, number: int, of: int, seed: int) -> RatingSet:
        """This set with one of ``of`` folds as validation part and the others to learn from.

        All ratings but those of the test part are in exactly one fold, those of the validation
        part too. What is counted and called cold is so in the fold's own training part.

        Parameters
        ----------
        number, of, seed
            As in `dope.core.folds.left_out`.

        Raises
        ------
        ConfigError
            There are fewer ratings than folds.
        """
        pool = np.sort(np.concatenate([self.rows[p] for p in ("train", "valid") if p in self.rows]))
        if len(pool) < of:
            raise ConfigError(
                f"{len(pool)} ratings cannot make {of} folds", "Use fewer trainer.folds."
            )
        chosen = left_out(len(pool), number, of, seed)
        other = copy.copy(self)
        for name in ("parts", "user_counts", "item_counts"):
            other.__dict__.pop(name, None)
        other.__dict__["rows"] = {
            **self.rows, "train": np.delete(pool, chosen), "valid": pool[chosen],
        }  # fmt: skip
        return other

    def user_index(self, user: str) -> int:
        """Place of a user.

        Raises
        ------
        ConfigError
            There is none of this name.
        """
        return _place(self._user_places, user, "user")

    def item_index(self, item: str) -> int:
        """Place of an item.

        Raises
        ------
        ConfigError
            There is none of this name.
        """
        return _place(self._item_places, item, "item")

    @cached_property
    def _user_places(self) -> Mapping[str, int]:
        return {name: i for i, name in enumerate(self.users)}

    @cached_property
    def _item_places(self) -> Mapping[str, int]:
        return {name: i for i, name in enumerate(self.items)}

    def summary(self) -> dict[str, Any]:
        """Counts of what there is, and what was put aside, to print or to keep."""
        ratings = self.source.ratings
        found: dict[str, Any] = {
            "users": len(self.users),
            "items": len(self.items),
            "ratings": len(ratings.values),
            "density": len(ratings.values) / (len(self.users) * len(self.items)),
            "mean_rating": float(ratings.values.mean(dtype=np.float64)),
            "lowest_rating": self.scale[0],
            "highest_rating": self.scale[1],
        }
        found.update({f"{part}_ratings": len(rows) for part, rows in self.rows.items()})
        found["cold_users"] = int((self.user_counts == 0).sum())
        found["cold_items"] = int((self.item_counts == 0).sum())
        if self.repeated:
            found["repeated_ratings"] = self.repeated
        if self.skipped:
            found["skipped_lines"] = self.skipped
        return found


def _place(places: Mapping[str, int], name: str, kind: str) -> int:
    try:
        return places[name]
    except KeyError:
        near = did_you_mean(name, places) if len(places) < 10_000 else ""
        raise ConfigError(
            f"there is no {kind} '{name}' among {len(places):,}",
            f"{near} They are called as in the data's source.".strip(),
        ) from None
