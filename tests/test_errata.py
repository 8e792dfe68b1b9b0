"""The numbers of docs/errata.md: what the book's time-series recipes give, and what is right.

Holds computations only; the book's steps are written anew here, in NumPy, from its equations.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from dope.core.backend import nd
from dope.plugins.timeseries.innovations import Structure, Trajectory, filter_states
from dope.plugins.timeseries.kalman import filter as kalman_filter
from dope.plugins.timeseries.kalman import sample
from dope.plugins.timeseries.rotation import Rotation
from dope.plugins.timeseries.series import Nile

SIGMA = 0.5


def book_filter(z, F, a, g, sigma):
    """One-step predictions (T,), and the last filtered mean (H,) and covariance (H, H).

    The prior of the first state has mean zero and covariance zero, as printed.
    """
    mean, cov, predictions = np.zeros(len(a)), np.zeros((len(a), len(a))), []
    for t, value in enumerate(z):
        if t:
            mean, cov = F @ mean, F @ cov @ F.T + np.outer(g, g)
        predictions.append(a @ mean)
        gain = cov @ a / (a @ cov @ a + sigma**2)
        mean = mean + gain * (value - a @ mean)
        cov = cov - np.outer(gain, a @ cov)
    return np.array(predictions), mean, cov


def book_forecast(mean, cov, F, a, sigma, horizon):
    """The book's means and what it calls standard deviations, (horizon,) each."""
    means, deviations = [], []
    for _ in range(horizon):
        means.append(a @ mean)
        deviations.append(a @ cov @ a + sigma**2)
        mean, cov = F @ mean, F @ cov @ F.T
    return np.array(means), np.array(deviations)


def ours(structure: Structure, g, z, delta=1.0, phi=1.0, *, known=True) -> Trajectory:
    """dope's filter with strengths ``g`` and noise SIGMA, from a zero state if it is known."""
    start = np.zeros((1, structure.size)) if known else None
    damping = (np.full(1, d) for d in (delta, phi))
    return filter_states(structure, np.array([g]) / SIGMA, z[None], *damping, initial=start)


def deviations(found: Trajectory, horizon: int) -> np.ndarray:
    """Standard deviations of the forecast for noise SIGMA, not for the one that fits best."""
    return found.forecast(horizon)[1][0] / found.sigma[0] * SIGMA


@pytest.fixture
def nile() -> np.ndarray:
    """The Nile, standardized as the book standardizes its series, (100,)."""
    values = Nile(holdout=0).load().values[0]
    return (values - values.mean()) / values.std()


def test_the_books_bands_of_the_level_model_are_flat_and_too_narrow(nile):
    F, a, g = np.ones((1, 1)), np.ones(1), np.array([0.5])
    _, mean, cov = book_filter(nile, F, a, g, SIGMA)
    _, said = book_forecast(mean, cov, F, a, SIGMA, 13)
    np.testing.assert_allclose(said, 0.4045, atol=5e-5)
    right = deviations(ours(Structure(), g, nile), 13)
    np.testing.assert_allclose(right[[0, 12]], [0.8090, 1.9117], atol=5e-5)
    golden = (1 + 5**0.5) / 2  # the closed form for alpha = sigma
    np.testing.assert_allclose(right**2, SIGMA**2 * (golden + np.arange(1, 14)), rtol=1e-9)
    inside = [math.erf(said[h] / right[h] / math.sqrt(2)) for h in (0, 12)]
    np.testing.assert_allclose(inside, [0.383, 0.168], atol=5e-4)


def test_the_books_forecast_of_level_and_trend_starts_one_step_late(nile):
    F, a, g = np.array([[1.0, 1.0], [0.0, 1.0]]), np.ones(2), np.array([0.5, 0.1])
    _, mean, cov = book_filter(nile, F, a, g, SIGMA)
    means, said = book_forecast(mean, cov, F, a, SIGMA, 14)
    found = ours(Structure(trend=True), g, nile)
    np.testing.assert_allclose(found.forecast(13)[0][0], means[1:], rtol=1e-9)
    right = deviations(found, 13)
    np.testing.assert_allclose(said[[0, 12]], [0.4261, 1.7613], atol=5e-5)
    np.testing.assert_allclose(right[[0, 12]], [0.9193, 4.7407], atol=5e-5)


def test_the_filter_itself_is_the_model_of_the_text(nile):
    """With damping, too: a and F both hold it, and the state is counted one step later."""
    delta, phi = 0.9, 0.8
    F, a, g = np.array([[delta, phi], [0.0, phi]]), np.array([delta, phi]), np.array([0.5, 0.1])
    predicted, _, _ = book_filter(nile, F, a, g, SIGMA)
    np.testing.assert_allclose(
        ours(Structure(trend=True), g, nile, delta, phi).fitted[0], predicted, atol=1e-10
    )


def test_a_first_state_that_is_known_exactly_ignores_the_first_value(nile):
    F, a, g = np.ones((1, 1)), np.ones(1), np.array([0.5])
    predicted, _, _ = book_filter(nile, F, a, g, SIGMA)
    moved = nile.copy()
    moved[0] += 100.0
    np.testing.assert_array_equal(book_filter(moved, F, a, g, SIGMA)[0], predicted)
    assert predicted[1] == 0.0 and nile[0] > 1
    fitted = ours(Structure(), g, nile, known=False).fitted[0]
    np.testing.assert_allclose([nile[0], fitted[1]], [1.192, 1.184], atol=5e-4)


def test_a_variance_passed_as_a_deviation():
    system = Rotation(noise=0.5).system
    states, seen = sample(np.random.default_rng(1), *system, 400, 50)
    noise = (seen - states @ system.B.T).std()
    assert abs(noise - 0.5) < 0.01  # 20,000 draws: standard error 0.0025
    as_printed = np.random.default_rng(1).normal(0.0, system.S_v[0, 0], 20000).std()
    assert abs(as_printed - 0.25) < 0.005


def test_a_zero_prior_of_the_first_state_costs_likelihood():
    data, system = Rotation(series=2000), Rotation().system
    values = data.load().values[:, :, None]
    right = [nd.array(x, dtype="float64") for x in system]
    zero = [*right[:4], nd.zeros_like(right[4]), nd.zeros_like(right[5])]
    found = [kalman_filter(values, *s).log_likelihood.asnumpy().mean() for s in (right, zero)]
    np.testing.assert_allclose(found, [-66.62, -69.07], atol=5e-3)


def fitted_start(structure, ratios, z):
    """Log-likelihood in nats at the initial state that is best for these strengths over sigma."""
    g = structure.innovation_vector(np.array([ratios]))
    ones = np.ones(1)
    free = filter_states(structure, g, z[None], ones, ones)
    known = filter_states(structure, g, z[None], ones, ones, initial=free.initial)
    return known.log_likelihood[0], free.log_likelihood[0]


def test_a_fitted_initial_state_has_no_best_likelihood(nile):
    logs = np.arange(4.0, 10.0)
    both = np.array([fitted_start(Structure(), [np.exp(k)], nile) for k in logs])
    np.testing.assert_allclose(np.diff(both[:, 0]), 1.0, atol=0.02)  # one free value
    assert (np.diff(both[:, 1]) < 0).all()
    z = np.tile(np.random.default_rng(0).normal(size=12), 10)
    z = z + np.random.default_rng(1).normal(size=120)
    both = np.array([fitted_start(Structure(season=12), [1e-4, np.exp(k)], z) for k in logs])
    np.testing.assert_allclose(np.diff(both[:, 0]), 12.0, atol=0.05)  # level and 11 of the season
    assert (np.diff(both[:, 1]) < 0).all()
