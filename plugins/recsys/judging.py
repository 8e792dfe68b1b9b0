"""Errors and lists of a trained model on held-out ratings, warm and cold ones apart.

Holds which ratings count where; the figures of lists are in ranking.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dope.plugins.recsys.bias import Tables
from dope.plugins.recsys.ranking import Pairs, judged

BEFORE = {"valid": ("train",), "test": ("train", "valid")}  # parts that lists leave out


class Judge:
    """What is known of a data set for judging models on it.

    Parameters
    ----------
    dataset
        A `ratings.RatingSet`.
    relevant
        The least rating of an item that a user likes.
    clip
        Whether scores are ratings, which are cut to the scale.
    """

    def __init__(self, dataset: Any, relevant: float, *, clip: bool) -> None:
        self.dataset, self.relevant, self.clip = dataset, relevant, clip
        self.warm_users = dataset.user_counts > 0
        self.warm_items = dataset.item_counts > 0
        self._pairs: dict[str, tuple[Pairs, Pairs]] = {}

    def predicted(self, tables: Tables, split: str) -> np.ndarray:
        """Scores or ratings (n,) of a part."""
        users, items = self.dataset.parts[split][:2]
        found = tables.pairs(users, items)
        return np.clip(found, *self.dataset.scale) if self.clip else found

    def cold(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """bool (n,) each: ratings of a part whose user, or whose item, has none in training."""
        users, items = self.dataset.parts[split][:2]
        return ~self.warm_users[users], ~self.warm_items[items]

    def errors(self, tables: Tables, split: str) -> dict[str, float]:
        """RMSE and MAE of a part: of all ratings, and of warm and cold ones with their counts."""
        wrong = self.predicted(tables, split) - self.dataset.parts[split].values
        user, item = self.cold(split)
        cold = user | item
        figures: dict[str, float] = dict(_errors(wrong))
        for name, rows in (("warm", ~cold), ("cold", cold)):
            figures[f"{name}_ratings"] = int(rows.sum())
            if rows.any():
                figures.update({f"{k}_{name}": v for k, v in _errors(wrong[rows]).items()})
        figures["cold_user_ratings"] = int(user.sum())
        figures["cold_item_ratings"] = int(item.sum())
        return figures

    def lists(
        self, tables: Tables, split: str, cutoffs: Sequence[int]
    ) -> dict[str, dict[str, float]]:
        """Figures of lists, as `ranking.judged` gives them."""
        if split not in self._pairs:
            self._pairs[split] = self._liked(split), self._known(BEFORE[split])
        relevant, seen = self._pairs[split]
        items = len(self.dataset.items)
        return judged(tables.rows, relevant, seen, self.warm_users, items, cutoffs)

    def _liked(self, split: str) -> Pairs:
        users, items, values = self.dataset.parts[split][:3]
        rows = values >= self.relevant
        return Pairs.of(users[rows], items[rows], len(self.dataset.users))

    def _known(self, parts: Sequence[str]) -> Pairs:
        found = [self.dataset.parts[part] for part in parts if part in self.dataset.parts]
        users, items = (np.concatenate([part[i] for part in found]) for i in (0, 1))
        return Pairs.of(users, items, len(self.dataset.users))

    def popular(self) -> Tables:
        """The same list for all: items by the number of their training ratings."""
        users, items = len(self.dataset.users), len(self.dataset.items)
        counts = self.dataset.item_counts.astype(np.float32)
        none = np.zeros((users, 0), np.float32), np.zeros((items, 0), np.float32)
        return Tables(0.0, np.zeros(users, np.float32), counts, *none)

    def average(self) -> Tables:
        """The mean training rating for all."""
        made = self.popular()
        mean = float(self.dataset.parts["train"].values.mean(dtype=np.float64))
        return made._replace(mean=mean, item_bias=np.zeros_like(made.item_bias))

    def protocol(self, split: str, *, cold: bool = False) -> str:
        """How figures of lists of a part came about, in one sentence."""
        named = {"train": "training", "valid": "validation"}
        before = " and ".join(named[p] for p in BEFORE[split] if p in self.dataset.parts)
        return (
            f"full catalogue of {len(self.dataset.items):,} items less the user's {before} "
            f"ratings; relevant: {split} ratings of {self.relevant:.4g} or more; mean over users "
            f"{'without' if cold else 'with'} training ratings who have a relevant item; "
            "precision divides by k; equal scores in the data's order"
        )


def _errors(wrong: np.ndarray) -> dict[str, float]:
    exact = wrong.astype(np.float64)
    return {"rmse": float(np.sqrt(np.mean(exact**2))), "mae": float(np.abs(exact).mean())}
