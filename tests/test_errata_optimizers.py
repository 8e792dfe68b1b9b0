"""The numbers of docs/errata.md on regression, the perceptron, optimizers and covariate shift.

Holds computations only; the book's steps are written anew here. The other parts are in files of
their own.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from dope.core.backend import mx
from dope.plugins.tabular import reweighting
from dope.plugins.tabular.perceptron import bound
from dope.plugins.tabular.plane import Plane
from dope.plugins.tabular.shifted import Shifted


def test_half_of_the_squared_error_is_called_the_mse():
    x, y = Plane().split("train")
    rows = np.column_stack([x, np.ones(len(x))]).astype(float)
    rest = y - rows @ np.linalg.lstsq(rows, y, rcond=None)[0]
    assert np.mean(rest**2) == pytest.approx(1.0e-4, rel=0.03)
    loss = mx.gluon.loss.L2Loss()(mx.nd.array(rest), mx.nd.zeros(len(rest))).mean().asscalar()
    assert loss == pytest.approx(5.0e-5, rel=0.03)  # printed: 4.947e-05, as a mean squared error
    assert rest.std() == pytest.approx(0.01, rel=0.02)  # in the text a variance of 0.1


def test_gluons_sgd_has_neither_momentum_nor_clipping():
    made = mx.optimizer.create("sgd")
    assert made.momentum == 0 and not made.clip_gradient


def separable(rng, n, margin):
    """Points as the book draws them, with a bias of any size; and that bias."""
    w, b, kept = rng.normal(size=2), rng.normal(), np.empty((0, 2))
    w /= np.linalg.norm(w)
    while len(kept) < n:
        x = rng.normal(size=(4 * n, 2))
        far = np.abs(x @ w + b) > margin
        kept = np.concatenate([kept, x[(np.linalg.norm(x, axis=1) < 3) & far]])
    return kept[:n], np.sign(kept[:n] @ w + b), b


def one_pass(w, x, y):
    made = 0
    for row in np.column_stack([x, np.ones(len(x))]) * y[:, None]:
        if w @ row <= 0:
            w += row
            made += 1
    return made


def test_the_theorem_is_not_about_a_third_of_the_books_problems():
    assert 100 * 2 * norm.sf(1) == pytest.approx(31.7, abs=0.05)
    rng = np.random.default_rng(0)
    share = np.mean([abs(separable(rng, 5, 0.3)[2]) > 1 for _ in range(2000)])
    assert share == pytest.approx(0.317, abs=0.03)


def test_weights_that_are_not_set_back_change_little():
    rng, margins = np.random.default_rng(0), np.arange(0.025, 0.45, 0.025)
    kept, made = np.zeros(3), np.zeros(2)
    for margin in np.tile(margins, 10):
        x, y, _ = separable(rng, 1000, margin)
        made += one_pass(kept, x, y), one_pass(np.zeros(3), x, y)
    assert made / 170 == pytest.approx([13.7, 13.7], abs=0.15)


def test_the_length_of_the_perceptrons_weights_has_an_upper_bound():
    x, y, _ = separable(np.random.default_rng(1), 300, 0.1)
    rows, w, t = np.column_stack([x, np.ones(300)]) * y[:, None], np.zeros(3), 0
    most = (x**2).sum(axis=1).max() + 1  # R^2 + 1
    for row in np.tile(rows, (20, 1)):
        if w @ row <= 0:
            w, t = w + row, t + 1
            assert w @ w <= t * most + 1e-9
    assert t == 20 < bound(x, 0.1)
    assert [w @ w, t * most] == pytest.approx([38.9, 191.4], abs=0.05)  # printed: at least


def test_weights_stay_bounded_where_no_line_separates():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 2)), np.sign(rng.normal(size=20))
    rows, w, lengths = np.column_stack([x, np.ones(20)]) * y[:, None], np.zeros(3), []
    for row in np.tile(rows, (5000, 1)):
        if w @ row <= 0:
            w = w + row
            lengths.append(float(np.sqrt(w @ w)))
    lengths = np.array(lengths)
    assert len(lengths) == pytest.approx(51_000, rel=0.01)  # it never ends
    assert [lengths[:1000].max(), lengths.max()] == pytest.approx([2.89, 2.94], abs=5e-3)


def heavy_ball(rate, momentum, steps):
    """Share of the distance that is left on a quadratic of curvature 1."""
    left, v = 1.0, 0.0
    for _ in range(steps):
        v = momentum * v + rate * left
        left -= v
    return left


def test_on_the_books_data_momentum_can_only_delay():
    x = np.column_stack([np.random.default_rng(0).normal(size=(10_000, 2)), np.ones(10_000)])
    assert np.linalg.cond(x.T @ x / 10_000) == pytest.approx(1.03, abs=0.02)
    # each step leaves the largest root of z^2 - (1 + momentum - rate) z + momentum
    roots = [max(abs(np.roots([1, -(1 + m - 0.5), m]))) for m in (0.0, 0.5)]
    assert roots == pytest.approx([0.5, 0.707], abs=1e-3)
    # rate 1 and all 10,000 points at once, which the second table leaves out: 3 steps
    assert heavy_ball(1.0, 0.0, 3) == 0 and heavy_ball(1.0, 0.5, 3) == -0.25
    assert 0.25 * 4.2 == 1.05


def test_odds_are_out_by_the_ratio_of_the_numbers():
    data = Shifted(train=20_000)
    x, _, z = data.split("train")
    z = z[:4000]
    both = np.concatenate([x, z]).astype(float)
    rows = reweighting.design(both, 2)
    f = rows[: len(x)] @ reweighting.logistic(rows, np.repeat([0.0, 1.0], [len(x), len(z)]))
    assert np.exp(f).mean() == pytest.approx(0.2, abs=0.002)  # of weights that should have mean 1
    assert reweighting.ratios(x, z, 2).mean() == pytest.approx(1, abs=0.01)


def test_a_logistic_regression_on_the_inputs_does_not_see_a_spread():
    problems = [Shifted(shift=0.0, seed=seed) for seed in range(1, 21)]
    linear, squares = (
        np.mean([reweighting.errors(each, degree, None) for each in problems], axis=0)
        for degree in (1, 2)
    )
    assert [*linear[:2], squares[1], linear[3]] == pytest.approx(
        [0.206, 0.206, 0.132, 0.131], abs=5e-4
    )
