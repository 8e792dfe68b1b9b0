"""Scores: against hand computations, direct loops and statsmodels' random walks.

Holds tests of scores.py only; how well dope's models forecast is measured elsewhere.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from dope.plugins.timeseries import scores
from dope.plugins.timeseries.series import CO2, Airline

NAN = float("nan")


@pytest.fixture
def random(request):
    """Actuals, forecasts and training series with holes, (5, 9), (5, 9), (5, 40)."""
    rng = np.random.default_rng(len(request.node.name.split("[")[0]))
    actual, forecast = rng.normal(3, 2, (2, 5, 9))
    training = rng.normal(3, 2, (5, 40)).cumsum(axis=1)
    actual[rng.random((5, 9)) < 0.2] = NAN
    training[rng.random((5, 40)) < 0.2] = NAN
    return actual, forecast, training


def test_mase_by_hand():
    # in-sample errors of the naive forecast: 2, 1, 3: mean 2; forecast errors 1, 3: mean 2
    assert scores.mase([[7, 9]], [[6, 6]], [[1, 3, 2, 5]]).tolist() == [1.0]
    # season 2: |2 - 1|, |5 - 3|: mean 1.5
    assert scores.mase([[7, 9]], [[6, 6]], [[1, 3, 2, 5]], 2)[0] == pytest.approx(2 / 1.5)


@pytest.mark.parametrize("season", [1, 4])
def test_mase_by_loops(random, season):
    actual, forecast, training = random
    for i, score in enumerate(scores.mase(actual, forecast, training, season)):
        errors = [abs(a - f) for a, f in zip(actual[i], forecast[i]) if not math.isnan(a)]
        steps = [abs(training[i, t] - training[i, t - season]) for t in range(season, 40)]
        steps = [step for step in steps if not math.isnan(step)]
        assert score == pytest.approx((sum(errors) / len(errors)) / (sum(steps) / len(steps)))


def test_mase_of_the_seasonal_naive_forecast_over_its_own_training_is_one():
    y = Airline().load().values
    assert scores.mase(y[:, 12:], y[:, :-12], y, 12)[0] == pytest.approx(1.0)


def test_mase_that_does_not_exist_is_nan():
    constant, short = [[2.0, 2.0, 2.0]], [[1.0, 2.0, 3.0]]
    assert np.isnan(scores.mase([[1.0]], [[2.0]], constant))[0]
    assert np.isnan(scores.mase([[1.0]], [[2.0]], short, 5))[0]
    assert np.isnan(scores.mase([[NAN]], [[2.0]], short))[0]


def test_a_missing_forecast_is_never_skipped():
    actual, forecast = np.array([[1.0, 2.0]]), np.array([[1.0, NAN]])
    assert np.isnan(scores.mase(actual, forecast, [[1.0, 2.0, 4.0]]))[0]
    assert np.isnan(scores.smape(actual, forecast))[0]
    assert np.isnan(scores.coverage(actual, forecast, forecast + 1))[0]
    assert np.isnan(scores.weighted_quantile_loss(actual, forecast[None], [0.5]))
    only_second = np.array([[1.0, NAN]])  # but where the actual is missing, nothing counts
    assert scores.smape(only_second, forecast)[0] == 0.0
    assert scores.coverage(only_second, forecast, forecast + 1)[0] == 1.0


def test_smape_by_hand():
    assert scores.smape([[100.0, 0.0]], [[50.0, 0.0]])[0] == pytest.approx((200 / 3) / 2)
    assert scores.smape([[1.0, -1.0]], [[-1.0, 1.0]])[0] == 200.0  # the most there is
    assert scores.smape([[3.0]], [[0.0]])[0] == 200.0


def test_smape_by_loops(random):
    actual, forecast, _ = random
    for i, score in enumerate(scores.smape(actual, forecast)):
        terms = [
            2 * abs(a - f) / (abs(a) + abs(f))
            for a, f in zip(actual[i], forecast[i])
            if not math.isnan(a)
        ]
        assert score == pytest.approx(100 * sum(terms) / len(terms))


def test_quantile_loss_by_hand():
    actual = np.array([[10.0, 20.0], [NAN, 10.0]])
    forecast = np.array([[[8.0, 24.0], [99.0, 10.0]]])
    # level 0.9: 2 too low costs 0.9 * 2, 4 too high costs 0.1 * 4; twice the sum over 40
    assert scores.weighted_quantile_loss(actual, forecast, [0.9]) == pytest.approx(2 * 2.2 / 40)
    # the median's loss is the absolute error over the size
    assert scores.weighted_quantile_loss(actual, forecast, [0.5]) == pytest.approx(6 / 40)
    both = np.concatenate([forecast, forecast])
    assert scores.weighted_quantile_loss(actual, both, [0.5, 0.9]) == pytest.approx(10.4 / 80)


def test_quantile_loss_by_loops(random):
    actual, forecast, _ = random
    levels = [0.1, 0.5, 0.9]
    quantiles = np.stack([forecast - 1, forecast, forecast + 1])
    losses = []
    for level, quantile in zip(levels, quantiles):
        pairs = [(a, q) for a, q in zip(actual.flat, quantile.flat) if not math.isnan(a)]
        loss = sum(abs((q - a) * ((a <= q) - level)) for a, q in pairs)
        losses.append(2 * loss / sum(abs(a) for a, _ in pairs))
    found = scores.weighted_quantile_loss(actual, quantiles, levels)
    assert found == pytest.approx(np.mean(losses))


def test_quantile_loss_is_least_at_the_quantile():
    rng = np.random.default_rng(3)
    actual = rng.normal(5, 1, (1, 20000))
    loss = [
        scores.weighted_quantile_loss(actual, np.full((1, 1, 20000), 5 + z), [0.8])
        for z in (0.7, 0.8416, 1.0)
    ]
    assert loss[1] < loss[0] and loss[1] < loss[2]
    assert np.isnan(scores.weighted_quantile_loss([[0.0]], [[[1.0]]], [0.5]))
    assert np.isnan(scores.weighted_quantile_loss([[NAN]], [[[1.0]]], [0.5]))


def test_coverage_and_width_by_hand():
    actual = np.array([[1.0, 2.0, 3.0, NAN], [NAN, NAN, NAN, NAN]])
    lower, upper = np.full((2, 4), 1.0), np.full((2, 4), 2.5)
    found = scores.coverage(actual, lower, upper)
    assert found[0] == pytest.approx(2 / 3) and np.isnan(found[1])
    assert scores.interval_width(lower, upper).tolist() == [1.5, 1.5]


# Naive forecasts


def test_naive_by_hand():
    made = scores.naive(np.array([[1.0, 3.0, 2.0, 5.0]]), 3)
    sigma = math.sqrt((4 + 1 + 9) / 3)
    assert made.mean.tolist() == [[5.0, 5.0, 5.0]]
    np.testing.assert_allclose(made.deviation[0], sigma * np.sqrt([1, 2, 3]))
    lower, upper = made.interval(0.95)
    np.testing.assert_allclose(upper[0], 5 + 1.959964 * sigma * np.sqrt([1, 2, 3]), rtol=1e-6)
    np.testing.assert_allclose(lower + upper, 10.0)
    np.testing.assert_allclose(made.quantiles([0.025, 0.5, 0.975]), [lower, made.mean, upper])


def test_seasonal_naive_by_hand():
    y = np.array([[9.0, 1, 5, 2, 7, 4, 6]])  # ends: season of 3 is (7, 4, 6), before it (1, 5, 2)
    made = scores.seasonal_naive(y, 7, 3)
    assert made.mean.tolist() == [[7, 4, 6, 7, 4, 6, 7]]
    sigma = math.sqrt(((2 - 9) ** 2 + (7 - 1) ** 2 + (4 - 5) ** 2 + (6 - 2) ** 2) / 4)
    np.testing.assert_allclose(made.deviation[0], sigma * np.sqrt([1, 1, 1, 2, 2, 2, 3]))


def test_naive_is_the_random_walk_of_statsmodels():
    structural = pytest.importorskip("statsmodels.tsa.statespace.structural")
    y = CO2().load().values[0]
    model = structural.UnobservedComponents(y[100:160], "random walk")
    made = scores.naive(y[None, 100:160], 6)
    forecast = model.smooth([made.deviation[0, 0] ** 2]).get_forecast(6)
    np.testing.assert_allclose(made.mean[0], forecast.predicted_mean)
    np.testing.assert_allclose(made.deviation[0], forecast.se_mean, rtol=1e-6)
    lower, upper = made.interval(0.8)
    np.testing.assert_allclose(np.c_[lower[0], upper[0]], forecast.conf_int(alpha=0.2), rtol=1e-6)


def test_naive_bridges_missing_values():
    """σ² is the maximum-likelihood variance of a random walk seen with gaps, from statsmodels."""
    structural = pytest.importorskip("statsmodels.tsa.statespace.structural")
    y = np.array([1.0, 2.5, NAN, 2.0, NAN, NAN, 4.0, 3.0, NAN, NAN])
    made = scores.naive(y[None], 4)
    model = structural.UnobservedComponents(y, "random walk")
    model.initialize_approximate_diffuse()
    model.loglikelihood_burn = 1
    best = made.deviation[0, 0] ** 2 / 3  # two missing at the end: the first step is the third
    assert model.loglike([best]) > max(model.loglike([best * 0.97]), model.loglike([best * 1.03]))
    forecast = model.smooth([best]).get_forecast(4)
    np.testing.assert_allclose(made.mean[0], forecast.predicted_mean, rtol=1e-5)
    np.testing.assert_allclose(made.deviation[0], forecast.se_mean, rtol=1e-5)


def test_seasonal_naive_takes_the_last_observed_of_each_season():
    y = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, NAN]])
    made = scores.seasonal_naive(y, 4, 2)
    assert made.mean.tolist() == [[5.0, 4.0, 5.0, 4.0]]
    np.testing.assert_allclose(made.deviation[0], 2 * np.sqrt([1, 2, 2, 3]))


def test_seasonal_naive_without_a_season_observed_falls_back_to_naive():
    made = scores.seasonal_naive(np.array([[1.0, NAN, 3.0, NAN, 4.0, NAN]]), 2, 2)
    plain = scores.naive(np.array([[1.0, NAN, 3.0, NAN, 4.0, NAN]]), 2)
    assert made.mean.tolist() == [[4.0, 4.0]]
    assert made.deviation[0, 1] == plain.deviation[0, 1] > 0
    short = scores.seasonal_naive(np.array([[1.0, 2.0, 4.0]]), 12, 12)
    assert np.isfinite(short.mean).all() and np.isfinite(short.deviation).all()
    assert short.mean[0, -1] == 4.0 and short.mean[0, 9:].tolist() == [1.0, 2.0, 4.0]


def test_series_of_different_lengths():
    rng = np.random.default_rng(5)
    whole, part = rng.normal(size=(2, 30)).cumsum(axis=1)
    together = np.array([whole, np.r_[part[:23], np.full(7, NAN)]])
    made = scores.seasonal_naive(together, 9, 4, np.array([30, 23]))
    for i, alone in enumerate((whole[None], part[None, :23])):
        single = scores.seasonal_naive(alone, 9, 4)
        np.testing.assert_allclose(made.mean[i], single.mean[0])
        np.testing.assert_allclose(made.deviation[i], single.deviation[0])


def test_a_series_without_values_stays_nan_alone():
    made = scores.naive(np.array([[NAN, NAN, NAN], [1.0, 2.0, 4.0]]), 2)
    assert np.isnan(made.mean[0]).all() and np.isfinite(made.deviation[1]).all()


def test_naive_intervals_cover_what_they_say():
    rng = np.random.default_rng(11)
    walks = rng.normal(size=(2000, 110)).cumsum(axis=1)
    made = scores.naive(walks[:, :100], 10)
    for level in (0.5, 0.8, 0.95):
        share = scores.coverage(walks[:, 100:], *made.interval(level)).mean()
        assert share == pytest.approx(level, abs=0.03)


def test_airline_baselines():
    """Figures anyone can compute from series G: the last two years held out."""
    training, held = Airline().load().split()
    y = training.values
    plain = scores.naive(y, 24)
    seasonal = scores.seasonal_naive(y, 24, 12)
    assert set(plain.mean[0]) == {337.0}
    np.testing.assert_array_equal(seasonal.mean[0], np.tile(y[0, -12:], 2))
    scale = np.mean([abs(y[0, t] - y[0, t - 12]) for t in range(12, 120)])
    for made in (plain, seasonal):
        found = scores.mase(held, made.mean, y, 12)[0]
        assert found == pytest.approx(np.mean(np.abs(held - made.mean)) / scale)
    assert scores.mase(held, seasonal.mean, y, 12) < scores.mase(held, plain.mean, y, 12)
