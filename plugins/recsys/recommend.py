"""The task of recommenders: ratings learned, errors and lists judged, items recommended.

Holds no models and no data; lists are made in ranking.py, what is written in reporting.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Optional, Tuple

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError, DataError
from dope.core.exporting.declaring import EXAMPLES, Exported, Input
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory
from dope.core.task import Group, Task, blocks, compiled, parameters
from dope.plugins.recsys import reporting
from dope.plugins.recsys.judging import Judge
from dope.plugins.recsys.negatives import Negatives
from dope.plugins.recsys.scorer import Scorer

LEVELS = 21  # different ratings, at most, that make a scale of steps
SHOWN = ("rmse", "mae", "rmse_cold")  # of each epoch; all figures come at the end
FIXED = 7919  # seeds the negatives of held-out data: the same at each evaluation


class Recommender(Task):
    """Predict how users rate items, and recommend to each what it has not seen.

    A loss of ratings, such as ``losses.l2``, learns from all ratings. A ranking loss,
    ``recsys.bpr`` or ``recsys.sampled_softmax``, learns from the relevant ones against items that
    the user has not rated; what the model then gives are scores and no ratings.

    Predicted ratings are cut to the scale of the data before their error is measured. Lists are
    of the full catalogue without what the user has rated in training, and for the test part in
    validation. Users and items without a training rating are cold: errors on their ratings, and
    lists for such users, are counted apart.

    SGD's learning rate is of the mean over a batch, in which a user or an item has a small share.
    Where one has a large share, as in small data, a lower rate is taken, and reported.

    Parameters
    ----------
    relevant
        A rating from this on is of an item that the user likes. null takes three quarters of the
        way up the scale, which is 4 of 1 to 5, where there are at most 21 different ratings; else
        the number that a quarter of the training ratings reach.
    k
        Length of the lists that are judged after each epoch.
    cutoffs
        Lengths of those that are judged at the end.
    ranking
        When lists are judged: after ``each`` evaluation, at the ``end``, or ``never``.

    Raises
    ------
    ConfigError
        An option is out of its range.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "ratings": (
            "The data: how ratings spread, and how many each user and item has. A steep fall on "
            "the right means that most users or items are known by a few ratings only."
        ),
        "error_by_popularity": (
            "Bars should be equally high. Higher ones on the left are users or items with few "
            "ratings, which the model knows least."
        ),
        "ranking": (
            "Lists judged by what users liked in the test. The model earns its place where its "
            "line is above that of what is popular."
        ),
    }
    threads: ClassVar[Optional[int]] = 1  # the operators are small: two threads wait for each other
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "recsys.generated",
        "model": "recsys.mf",
        "loss": "losses.l2",
        "optimizer": {"name": "sgd", "learning_rate": 40.0},
        "trainer": {"batch_size": 8192, "epochs": 20},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "model": {"name": "recsys.mf", "factors": 2, "l2": 0.015},
            "trainer": {"epochs": 40},
        },
        "book": {"dataset": "recsys.movielens", "model": {"name": "recsys.mf", "l2": 0.05}},
        "tiny": {
            "dataset": {"name": "recsys.generated", "users": 40, "items": 30, "ratings": 500},
            "model": {"name": "recsys.mf", "factors": 4},
            "optimizer": {"name": "sgd", "learning_rate": 1.0},
            "trainer": {"epochs": 2, "batch_size": 64},
        },
    }

    def __init__(
        self,
        *,
        relevant: Optional[float] = None,
        k: int = 10,
        cutoffs: Tuple[int, ...] = (1, 5, 10, 20, 50),
        ranking: Literal["each", "end", "never"] = "each",
    ) -> None:
        if k < 1:
            raise ConfigError(f"task.k={k} is out of range", "It is 1 or more.")
        if not cutoffs or min(cutoffs) < 1:
            raise ConfigError(
                f"task.cutoffs={list(cutoffs)} is out of range", "Lengths are 1 or more."
            )
        self.relevant, self.k, self.cutoffs, self.ranking = relevant, k, sorted(cutoffs), ranking

    def prepare(self) -> None:
        """Read the ratings, and find what is relevant."""
        if not hasattr(self.dataset, "parts"):
            raise ConfigError(
                f"dataset {self.parts.get('dataset')} holds no ratings",
                "Recommenders learn from recsys.generated, recsys.table and the like.",
            )
        if not len(self.dataset.parts["train"].values):
            raise DataError("the training part has no ratings", "Make dataset.test smaller.")
        if self.relevant is None:
            self.relevant = liked_from(self.dataset)
        self._negatives: Optional[Negatives] = None
        if self.ranks:
            users, items = self.dataset.parts["train"][:2]
            sizes = len(self.dataset.users), len(self.dataset.items)
            self._negatives = Negatives(users, items, sizes)
            if not (self._rows("train")).size:
                raise ConfigError(
                    f"no training rating is {self.relevant:g} or more, so that nothing ranks first",
                    "Set task.relevant lower.",
                )
            if hasattr(self.criterion, "know"):
                self.criterion.know(len(self._negatives.candidates))
        self.judge = Judge(self.dataset, self.relevant, clip=not self.ranks)

    @property
    def ranks(self) -> bool:
        """Whether the loss compares items, and does not look at ratings."""
        return bool(getattr(self.criterion, "ranks", False))

    def data(self, split: str) -> Optional[ArrayBatches]:
        """Users (n,), items (n,) and ratings (n,); with a ranking loss items (n, 1 + negatives)."""
        whole = self.dataset.batches(split, self.options.batch_size)
        if whole is None or not self.ranks:
            return whole
        rows = self._rows(split)
        if not len(rows):
            return None
        arrays = [array[rows] for array in self.dataset.parts[split][:3]]
        return ArrayBatches(
            arrays, self.options.batch_size, shuffle=split == "train", transform=self._with_others
        )

    def _rows(self, split: str) -> np.ndarray:
        """Relevant ratings of users for whom there is something to compare with."""
        assert self._negatives is not None
        users, _, values = self.dataset.parts[split][:3]
        return np.flatnonzero((values >= self.relevant) & ~self._negatives.full[users])

    def _with_others(
        self, arrays: Any, rng: Optional[np.random.Generator]
    ) -> tuple[np.ndarray, ...]:
        """Put negatives beside the items, from the epoch's own generator."""
        assert self._negatives is not None
        users, items, values = arrays
        drawn = self._negatives.draw(
            users, self.criterion.negatives, rng or np.random.default_rng(FIXED)
        )
        return users, np.column_stack([items, drawn]), values

    def groups(self, nets: Any) -> Mapping[str, Group]:
        """One group; none for a model that only counts."""
        learned = (p for net in blocks(nets).values() for p in parameters(net).values())
        self._learns = any(p.grad_req != "null" for p in learned)
        if not self._learns:
            return {}
        main = super().groups(nets)["main"]
        rate = main.options.get("learning_rate")
        if main.optimizer == "sgd" and rate is not None and rate > self.fastest:
            main = replace(main, options={**main.options, "learning_rate": self.fastest})
        return {"main": main}

    @property
    def fastest(self) -> float:
        """The learning rate of SGD above which the most frequent user or item would diverge.

        The gradient of its bias is the batch's mean times its share of the ratings.
        """
        most = max(self.dataset.user_counts.max(), self.dataset.item_counts.max())
        return float(0.5 * len(self.dataset.parts["train"].values) / most)

    @compiled
    def loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The criterion of each example, (n,), plus the penalty of what it takes."""
        users, items, values = shard
        if self.ranks:
            scores, penalty = nets(users, items)
            return self.criterion(scores) + penalty
        if nets.scores and self.parts.get("loss") == "losses.l2":
            return nets(users, items, values)
        scores, penalty = nets(users, items)
        return self.criterion(scores, values) + penalty

    def step(self, engine: Any, batch: Any) -> Mapping[str, Sum]:
        """Learn, if the model has anything to learn."""
        if not self._learns:
            return {"loss": engine.total(self.loss, batch)}
        return {"loss": engine.minimize("main", self.loss, batch)}

    def evaluate(self, engine: Any) -> dict[str, float]:
        """Loss, errors and figures of lists on held-out data."""
        figures = super().evaluate(engine)
        tables = engine.nets.tables()
        for split in ("valid", "test"):
            if split not in self.dataset.parts:
                continue
            found = {} if self.ranks else self.judge.errors(tables, split)
            shown = {k: v for k, v in found.items() if k in SHOWN}
            if self.ranking == "each":
                lists = self.judge.lists(tables, split, [self.k])["warm"]
                names = (f"{figure}@{self.k}" for figure in ("recall", "ndcg"))
                shown.update({name: lists[name] for name in names if name in lists})
            figures.update({f"{split}_{name}": value for name, value in shown.items()})
        return figures

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Errors and lists beside baselines, with the protocol; pictures of data and errors."""
        return reporting.write(self, nets.tables(), run)

    def predict(
        self, nets: Any, run: RunDirectory, *, user: Optional[str] = None, top: int = 10
    ) -> dict[str, Any]:
        """Recommend items to a user, or without one predict the held-out ratings.

        Parameters
        ----------
        user
            Whom to recommend to: the identifier in the source of the data.
        top
            How many items; those that the user has rated in any part are left out.
        """
        if top < 1:
            raise ConfigError(f"--top {top} is out of range", "It is 1 or more.")
        tables = nets.tables()
        if user is None:
            return reporting.held_out(self, tables)
        return reporting.recommended(self, tables, user, top)

    def exports(self, nets: Any) -> Sequence[Exported]:
        """Users and items to ratings or scores; and users to those of all items."""
        scale = None if self.ranks else self.dataset.scale
        scorer = Scorer(nets.tables(), scale)
        rng, what = np.random.default_rng(0), "score" if self.ranks else "rating"
        users, items = (
            rng.integers(0, len(names), EXAMPLES).astype(np.int32)
            for names in (self.dataset.users, self.dataset.items)
        )
        user = Input("user", users, "places in users")
        facts = {"users": list(self.dataset.users), "items": list(self.dataset.items)}
        return [
            Exported(
                [scorer],
                scorer,
                [user, Input("item", items, "places in items, as many")],
                {what: "of each pair"},
                name="pairs",
                about="Predicts what users say of items.",
                facts=facts,
            ),
            Exported(
                [scorer],
                scorer.everything,
                [user],
                {"score": "of all items, for lists: the highest first, without what is known"},
                name="lists",
                about="Scores all items for users.",
                facts=facts,
            ),
        ]


def liked_from(dataset: Any) -> float:
    """The least rating of an item that a user likes, where nobody says."""
    values = dataset.parts["train"].values
    if len(np.unique(values)) > LEVELS:
        return float(np.quantile(values, 0.75))
    low, high = dataset.scale
    return float(low + 0.75 * (high - low))
