"""Generated ratings: what they are made of, and the errors that nobody can beat.

Holds comparisons with SciPy's normal distribution, and with predictions written out.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from dope.core.errors import ConfigError
from dope.plugins.recsys.generated import Generated, shares_of, stars_of
from dope.plugins.recsys.ratings_data_plots import overview

SMALL = {"users": 200, "items": 100, "ratings": 6000}


def rmse(error):
    return float(np.sqrt(np.mean(np.square(error, dtype=float))))


@pytest.fixture(scope="module")
def data():
    return Generated()


def test_sizes_and_pairs(data):
    ratings = data.source.ratings
    assert len(data.users) == 1000 and len(data.items) == 500 and len(ratings.values) == 200_000
    pairs = set(zip(ratings.users.tolist(), ratings.items.tolist()))
    assert len(pairs) == 200_000
    assert (np.diff(ratings.times) > 0).all()
    assert data.user_counts.min() > 0 and data.item_counts.min() > 0


def test_popularity_has_a_long_tail():
    made = Generated(users=2000, items=1000, ratings=60_000, tail=1.0)
    counts = np.sort(np.bincount(made.source.ratings.items, minlength=1000))[::-1]
    assert counts[:100].sum() > 0.5 * counts.sum()
    flat = Generated(users=2000, items=1000, ratings=60_000, tail=0.0)
    counts = np.sort(np.bincount(flat.source.ratings.items, minlength=1000))[::-1]
    assert counts[:100].sum() < 0.15 * counts.sum()


def test_floors_are_the_errors_of_who_knows(data):
    ratings, truth = data.source.ratings, data.truth
    users, items = ratings.users, ratings.items
    biases = truth.mean + truth.user_bias[users] + truth.item_bias[items]
    tastes = (truth.user_factors[users] * truth.item_factors[items]).sum(1)
    # over the pairs that were drawn, spreads are exactly what was asked for
    np.testing.assert_allclose(truth.user_bias[users].mean(), 0, atol=1e-12)
    np.testing.assert_allclose(truth.user_bias[users].std(), 0.4)
    np.testing.assert_allclose(truth.item_bias[items].std(), 0.5)
    np.testing.assert_allclose(rmse(tastes), 0.6)
    facts = data.facts
    assert facts["noise_rmse"] == 0.5
    np.testing.assert_allclose(facts["bias_rmse"], np.hypot(0.6, 0.5))
    np.testing.assert_allclose(facts["mean_rmse"], np.hypot(rmse(biases + tastes - 3.5), 0.5))
    # and so of 200,000 ratings errors are as expected, within four standard errors
    for name, guess in (("noise", biases + tastes), ("bias", biases), ("mean", 3.5)):
        squares = (ratings.values - guess) ** 2
        spread = squares.std() / np.sqrt(len(squares))
        assert abs(squares.mean() - facts[f"{name}_rmse"] ** 2) < 4 * spread
        for part, rows in data.rows.items():
            known = rmse(ratings.values[rows] - np.broadcast_to(guess, len(squares))[rows])
            np.testing.assert_allclose(facts[f"{part}_{name}_rmse"], known, rtol=1e-6)


def test_learned_biases_come_near_to_their_floor(data):
    train, test = data.parts["train"], data.parts["test"]
    mean = train.values.mean()
    b, c = np.zeros(1000), np.zeros(500)
    for _ in range(20):  # least squares, one side after the other
        b = np.bincount(train.users, train.values - mean - c[train.items]) / data.user_counts
        c = np.bincount(train.items, train.values - mean - b[train.users]) / data.item_counts
    found = rmse(mean + b[test.users] + c[test.items] - test.values)
    assert 0.995 < found / data.facts["test_bias_rmse"] < 1.01
    assert 0.995 < rmse(mean - test.values) / data.facts["test_mean_rmse"] < 1.005


def test_factors_can_be_learned_to_within_two_percent_of_the_noise(data):
    train, test = data.parts["train"], data.parts["test"]
    rng = np.random.default_rng(0)
    sides = [rng.normal(size=(1000, 3)), rng.normal(size=(500, 3))]
    residual = train.values - train.values.mean()
    bias = [np.zeros(1000), np.zeros(500)]
    for turn in range(20):  # alternating least squares with a small ridge
        own, other = turn % 2, 1 - turn % 2
        at, by = (train.users, train.items) if own == 0 else (train.items, train.users)
        x = sides[other][by].copy()
        x[:, 0] = 1
        y = residual - bias[other][by]
        order = np.argsort(at, kind="stable")
        for k, rows in enumerate(np.split(order, np.cumsum(np.bincount(at))[:-1])):
            a = x[rows]
            w = np.linalg.solve(a.T @ a + 0.5 * np.eye(3), a.T @ y[rows])
            bias[own][k], sides[own][k, 1:] = w[0], w[1:]
    guess = train.values.mean() + bias[0][test.users] + bias[1][test.items]
    guess += (sides[0][test.users, 1:] * sides[1][test.items, 1:]).sum(1)
    assert rmse(guess - test.values) < 1.02 * data.facts["noise_rmse"]


def test_seeds():
    first, same, other = (Generated(seed=seed, **SMALL).source.ratings for seed in (5, 5, 6))
    assert all((a == b).all() for a, b in zip(first, same))
    assert (first.values != other.values).any()


def test_cold_users_and_items_are_only_tested_on():
    made = Generated(cold_users=7, cold_items=5, **SMALL)
    assert made.summary()["cold_users"] == 7 and made.summary()["cold_items"] == 5
    everything = made.source.ratings
    tested = np.bincount(made.parts["test"].users, minlength=200)
    cold = made.user_counts == 0
    assert (tested[cold] == np.bincount(everything.users, minlength=200)[cold]).all()
    assert "valid" in made.parts and (made.user_counts[made.parts["valid"].users] > 0).all()


def test_appeal_makes_users_choose_what_suits_them():
    def chosen(appeal):
        made = Generated(appeal=appeal, **SMALL)
        everybody = np.indices((200, 100)).reshape(2, -1)
        drawn = made.source.ratings[:2]
        return made.truth.interactions(*drawn).mean() - made.truth.interactions(*everybody).mean()

    assert abs(chosen(0.0)) < 0.05 < 0.3 < chosen(2.0)


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.7])
def test_stars_have_the_moments_of_rounded_normals(noise):
    true = np.linspace(-2, 8, 41) + 1e-6
    if noise:
        edges = np.array([-np.inf, 1.5, 2.5, 3.5, 4.5, np.inf])[:, None]
        chances = np.diff(norm.cdf(edges, loc=true, scale=noise), axis=0)
        mean = np.arange(1, 6) @ chances
        variance = (np.arange(1, 6)[:, None] - mean) ** 2 * chances
        expected = mean, variance.sum(0)
    else:
        expected = np.clip(np.rint(true), 1, 5), np.zeros(41)
    np.testing.assert_allclose(stars_of(true, noise), expected, atol=1e-9)


def test_stars_are_whole_and_their_floors_hold():
    made = Generated(stars=True, users=400, items=300, ratings=60_000)
    values = made.source.ratings.values
    assert np.unique(values).tolist() == [1, 2, 3, 4, 5] and made.scale == (1.0, 5.0)
    facts = made.facts
    assert "bias_rmse" not in facts
    np.testing.assert_allclose(facts["train_noise_rmse"], facts["noise_rmse"], rtol=0.01)
    np.testing.assert_allclose(values.std(), facts["mean_rmse"], rtol=0.01)


def test_a_fold_has_the_figures_of_its_own_parts():
    made = Generated(**SMALL)
    fold = made.fold(2, 5, seed=1)
    ratings, truth = fold.parts["valid"], fold.truth
    true = truth.biases(ratings.users, ratings.items) + truth.interactions(*ratings[:2])
    np.testing.assert_allclose(fold.facts["valid_noise_rmse"], rmse(ratings.values - true), 1e-6)
    assert fold.facts["noise_rmse"] == made.facts["noise_rmse"]


@pytest.mark.parametrize("total", [50, 51, 137, 499, 500])
def test_shares_are_whole_and_add_up(total):
    weights = np.random.default_rng(1).exponential(size=50)
    found = shares_of(total, weights, 10)
    assert found.sum() == total and found.min() >= 1 and found.max() <= 10
    assert (np.diff(found[np.argsort(weights)]) >= -1).all()


def test_extremes_of_size():
    one = Generated(users=1, items=1, ratings=1)
    assert list(one.parts) == ["train"] and np.isfinite(one.facts["noise_rmse"])
    full = Generated(users=20, items=10, ratings=200)
    assert full.summary()["density"] == 1.0


@pytest.mark.parametrize(
    "options",
    [
        {"ratings": 999}, {"ratings": 600_001}, {"noise": -1.0}, {"taste": float("inf")},
        {"factors": 0}, {"cold_users": 1000}, {"users": 0},
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        Generated(**options)


def test_the_overview_shows_all_ratings(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "dope.plugins.recsys.ratings_data_plots.save", lambda fig, path: drawn.append(fig)
    )
    made = Generated(stars=True, cold_items=3, **SMALL)
    made.skipped = 2
    overview(tmp_path / "overview.png", made)
    bars, users, items = drawn[0].axes
    assert bars.get_title(loc="left") == "6,000 ratings, 2 lines skipped"
    values = made.source.ratings.values
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bars.patches}
    assert heights == {level: (values == level).sum() for level in range(1, 6)}
    for axes, numbers in ((users, made.source.ratings.users), (items, made.source.ratings.items)):
        x, y = axes.lines[0].get_data()
        counts = np.unique(numbers, return_counts=True)[1]
        assert y.tolist() == sorted(counts, reverse=True) and x[-1] == len(counts)
    assert [t.get_text() for t in items.texts][1] == "3 without a rating to learn from"


def test_the_overview_is_a_picture(tmp_path):
    for options in (SMALL, {"users": 1, "items": 1, "ratings": 1}):
        path = overview(tmp_path / "overview.png", Generated(**options))
        assert path.read_bytes().startswith(b"\x89PNG")
