"""Ratings that are generated: means, biases and factors known, and so the best possible error.

Holds the data set, how it is drawn, and the floors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.recsys.ratings import Ratings, RatingSet, Source

CELLS = 1 << 22  # pairs of user and item that are drawn from together
START = 1_600_000_000.0  # seconds since 1970 of the first rating; the others follow by the minute
STARS = np.arange(1, 6)


class Truth(NamedTuple):
    """What the ratings are made of.

    Parameters
    ----------
    mean
        Of all.
    user_bias, item_bias
        b (U,) and c (I,).
    user_factors, item_factors
        p (U, k) and q (I, k).
    """

    mean: float
    user_bias: np.ndarray
    item_bias: np.ndarray
    user_factors: np.ndarray
    item_factors: np.ndarray

    def biases(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """mean + b_u + c_i, (n,)."""
        return self.mean + self.user_bias[users] + self.item_bias[items]

    def interactions(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """p_u . q_i, (n,)."""
        return np.einsum("nk,nk->n", self.user_factors[users], self.item_factors[items])


class Generated(RatingSet):
    """Ratings r = mean + b_u + c_i + p_u . q_i + e, with e ~ N(0, noise^2), generated.

    Who rates much and what is rated much are long-tailed. Biases and factors are centred over the
    pairs that were drawn, and scaled so that biases have the asked standard deviations there, and
    interactions p.q the asked root mean square. So the errors of perfect models are known, see
    `facts`.

    Parameters
    ----------
    users, items, ratings
        How many of each. By default there are enough ratings to learn factors to within 2 % of the
        noise; the mean square of what is learned amiss is about noise^2 (users + items)
        (factors + 1) / (training ratings).
    factors
        k, the length of p and q.
    mean
        The mean rating.
    user_spread, item_spread
        Standard deviations of the biases b and c.
    taste
        Root mean square of the interactions p.q.
    noise
        Standard deviation of e.
    tail
        Exponent of popularity: the item of rank r is drawn with weight r^-tail.
    appeal
        How much users choose what suits them: weights are multiplied by exp(appeal x), x being the
        interaction in units of its standard deviation. With 0 tastes only show in ratings, not in
        what is rated.
    cold_users, cold_items
        Users and items, drawn at random, all of whose ratings are in the test part.
    stars
        Round ratings to whole numbers from 1 to 5.
    """

    def __init__(
        self,
        *,
        users: int = 1000,
        items: int = 500,
        ratings: int = 200000,
        factors: int = 2,
        mean: float = 3.5,
        user_spread: float = 0.4,
        item_spread: float = 0.5,
        taste: float = 0.6,
        noise: float = 0.5,
        tail: float = 0.7,
        appeal: float = 0.0,
        cold_users: int = 0,
        cold_items: int = 0,
        stars: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        for name, value, least in (
            ("users", users, 1), ("items", items, 1), ("ratings", ratings, 1),
            ("factors", factors, 1), ("user_spread", user_spread, 0),
            ("item_spread", item_spread, 0), ("taste", taste, 0), ("noise", noise, 0),
            ("tail", tail, 0), ("appeal", appeal, 0), ("cold_users", cold_users, 0),
            ("cold_items", cold_items, 0),
        ):  # fmt: skip
            if not (value >= least and math.isfinite(value)):
                raise ConfigError(f"dataset.{name} is {value}", f"It is {least} or more.")
        if not users <= ratings <= users * items:
            raise ConfigError(
                f"dataset.ratings is {ratings:,} for {users:,} users and {items:,} items",
                f"It is between {users:,}, one for each user, and {users * items:,}.",
            )
        if cold_users >= users or cold_items >= items:
            raise ConfigError("all users or all items are cold", "Leave some to learn from.")
        self.sizes, self.count, self.factors = (users, items), ratings, factors
        self.mean, self.spreads, self.taste, self.noise = (
            mean,
            (user_spread, item_spread),
            taste,
            noise,
        )
        self.tail, self.appeal, self.stars = tail, appeal, stars
        self.cold = cold_users, cold_items
        self.truth: Truth

    def read(self) -> Source:
        rng = np.random.default_rng([self.seed, 1])
        n_users, n_items = self.sizes
        p = rng.normal(size=(n_users, self.factors))
        q = rng.normal(size=(n_items, self.factors)) / math.sqrt(self.factors)
        users, items = self._pairs(p, q, rng)
        b, c = rng.normal(size=n_users), rng.normal(size=n_items)
        self.truth = self._calibrated(users, items, b, c, p, q)
        true = self.truth.biases(users, items) + self.truth.interactions(users, items)
        values = true + rng.normal(scale=self.noise, size=self.count)
        if self.stars:
            values = np.clip(np.rint(values), STARS[0], STARS[-1])
        times = START + 60.0 * np.arange(self.count)
        return Source(
            Ratings(users, items, values.astype(np.float32), times),
            [f"u{i + 1}" for i in range(n_users)],
            [f"i{i + 1}" for i in range(n_items)],
            self._withheld(users, items, rng) if any(self.cold) else None,
        )

    def _pairs(
        self, p: np.ndarray, q: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Who rates what, int32 (n,) each, no pair twice, in random order.

        A user's items are drawn one after the other, without repetition and by weight: those with
        the largest log weight plus Gumbel noise.
        """
        n_users, n_items = self.sizes
        each = shares_of(self.count, np.exp(rng.normal(scale=0.5, size=n_users)), n_items)
        ranks = rng.permutation(n_items) + 1
        found = []
        rows = max(1, CELLS // n_items)
        for start in range(0, n_users, rows):
            block = p[start : start + rows]
            keys = rng.gumbel(size=(len(block), n_items)) - self.tail * np.log(ranks)
            keys += self.appeal * (block @ q.T)  # the interaction has variance 1 here
            order = np.argsort(-keys, axis=1)
            found.append(order[np.arange(n_items) < each[start : start + rows, None]])
        users = np.repeat(np.arange(n_users), each)
        shuffled = rng.permutation(self.count)
        return users[shuffled].astype(np.int32), np.concatenate(found)[shuffled].astype(np.int32)

    def _calibrated(
        self,
        users: np.ndarray,
        items: np.ndarray,
        b: np.ndarray,
        c: np.ndarray,
        p: np.ndarray,
        q: np.ndarray,
    ) -> Truth:
        """Biases and factors, centred and scaled over the pairs that were drawn."""
        by_user = np.bincount(users, minlength=len(b)) / len(users)
        by_item = np.bincount(items, minlength=len(c)) / len(items)
        p, q = p - by_user @ p, q - by_item @ q
        b, c = (
            spread * scaled(x - weight @ x, weight)
            for spread, x, weight in zip(self.spreads, (b, c), (by_user, by_item))
        )
        drawn = np.einsum("nk,nk->n", p[users], q[items])
        size = math.sqrt(np.mean(drawn**2))
        return Truth(self.mean, b, c, p * (self.taste / size if size else 0.0), q)

    def _withheld(
        self, users: np.ndarray, items: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Ratings of users and by items that are cold, (n,) of bool."""
        cold = [rng.permutation(n)[:k] for n, k in zip(self.sizes, self.cold)]
        held = np.isin(users, cold[0]) | np.isin(items, cold[1])
        if held.all():
            raise ConfigError("all ratings are of cold users and items", "Take fewer of them.")
        return held

    @property
    def facts(self) -> Mapping[str, float]:
        """Root mean square errors that nobody can beat but by luck.

        ``noise_rmse`` is that of who knows all but the noise, ``bias_rmse`` of who knows the mean
        and the biases, ``mean_rmse`` of who knows the mean only: expected over the noise, for all
        pairs that were drawn. With ``part_`` before them, such as ``test_noise_rmse``, they are
        what the same predictions score on the very ratings of that part.

        Of stars the first predicts their expectation, which takes account of rounding, and so does
        the mean; for biases alone there is no such formula, and so no figure. With ``appeal``
        biases that are learned can do a little better than the true ones, for then tastes show in
        who rates what.
        """
        found = {}
        for part, ratings in {"": self.source.ratings, **self.parts}.items():
            for name, (guess, variance) in self._guesses(ratings.users, ratings.items).items():
                if part:
                    error = np.mean((ratings.values - guess) ** 2)
                    found[f"{part}_{name}_rmse"] = float(np.sqrt(error))
                else:
                    found[f"{name}_rmse"] = float(np.sqrt(np.mean(variance)))
        return found

    def _guesses(self, users: np.ndarray, items: np.ndarray) -> dict[str, tuple[Any, np.ndarray]]:
        """Name to prediction and expected squared error, for some pairs."""
        biases, interactions = (
            self.truth.biases(users, items),
            self.truth.interactions(users, items),
        )
        true = biases + interactions
        variance = np.full(len(users), self.noise**2)
        if self.stars:
            expected, variance = stars_of(true, self.noise)
            everybody = self.source.ratings
            whole = self.truth.biases(*everybody[:2]) + self.truth.interactions(*everybody[:2])
            mean = stars_of(whole, self.noise)[0].mean()
            return {
                "noise": (expected, variance),
                "mean": (mean, variance + (expected - mean) ** 2),
            }
        return {
            "noise": (true, variance),
            "bias": (biases, variance + interactions**2),
            "mean": (self.mean, variance + (true - self.mean) ** 2),
        }


def scaled(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """x (n,) of weighted mean 0, with weighted mean square 1; left alone where all are 0."""
    size = math.sqrt(weights @ x**2)
    return x / size if size else x


def shares_of(total: int, weights: np.ndarray, most: int) -> np.ndarray:
    """Whole numbers (n,) from 1 to ``most`` with sum ``total``, about in proportion to weights."""
    low, high = 0.0, total / weights.min()
    for _ in range(100):  # numbers grow with the factor: halve its interval
        middle = (low + high) / 2
        if np.clip(np.floor(middle * weights), 1, most).sum() > total:
            high = middle
        else:
            low = middle
    found = np.clip(np.floor(low * weights), 1, most).astype(np.int64)
    while found.sum() < total:
        room = np.flatnonzero(found < most)[: total - found.sum()]
        found[room] += 1
    return found


def stars_of(true: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a rounded rating, (n,) each, of x ~ N(true, noise^2)."""
    if not noise:
        return np.clip(np.rint(true), STARS[0], STARS[-1]), np.zeros(len(true))
    edges = (STARS[:-1, None] + 0.5 - true) / (noise * math.sqrt(2))  # (4, n)
    below = (1 + np.vectorize(math.erf)(edges)) / 2
    ones = np.ones((1, len(true)))
    chances = np.diff(np.concatenate([0 * ones, below, ones]), axis=0)  # (5, n)
    mean = STARS @ chances
    return mean, np.maximum(STARS**2 @ chances - mean**2, 0)
