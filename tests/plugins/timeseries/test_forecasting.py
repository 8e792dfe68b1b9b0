"""Forecasts: their way back to the user's scale, their intervals, their table and their scores.

Holds the tests of forecasting.py and transforms.py; the normal forecast on the transformed scale
is test_innovations.py's.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

import dope
from dope.core.errors import ConfigError, DataError
from dope.plugins.timeseries.forecasting import Forecast, baselines
from dope.plugins.timeseries.innovations import Structure, filter_states
from dope.plugins.timeseries.series import Airline, Nile, Simulated
from dope.plugins.timeseries.transforms import Transform

pytestmark = pytest.mark.usefixtures("one_thread")

LAMBDAS = [-0.5, 0.0, 0.3, 0.5, 1.0, 2.0]


def forecast(exponent=1.0, centre=None, deviation=None, holdout=24):
    """A forecast of the airline's last two years that no model made."""
    training, actual = Airline(holdout=holdout).load().split()
    transform = Transform(exponent)
    last = transform.forward(training)[:, -holdout:]
    centre = last if centre is None else centre
    deviation = np.full_like(last, 0.02 * abs(last).mean()) if deviation is None else deviation
    stamps = [training.future_stamps(0, holdout)]
    return Forecast(training.names, stamps, centre, deviation, transform), training, actual


def positive(values):
    return replace(Nile(holdout=0).load(), values=np.asarray(values, float)[None], names=["flow"])


@pytest.mark.parametrize("exponent", LAMBDAS)
def test_there_and_back_again(exponent):
    data = Airline(holdout=0).load()
    transform = Transform(exponent)
    made = transform.forward(data)
    assert (np.diff(made[0][np.argsort(data.values[0])]) >= 0).all()
    np.testing.assert_allclose(transform.backward(made), data.values, rtol=1e-9)


@pytest.mark.parametrize("exponent", LAMBDAS)
def test_the_transform_is_scipys(exponent):
    special = pytest.importorskip("scipy.special")
    data = Nile(holdout=0).load()
    expected = special.boxcox(data.values, exponent)
    if exponent == 1.0:
        expected = data.values  # not shifted by 1: nothing at all is done
    np.testing.assert_allclose(Transform(exponent).forward(data), expected, rtol=1e-12)


def test_a_box_cox_transform_tends_to_the_logarithm():
    data = Airline(holdout=0).load()
    near, log = Transform(1e-6).forward(data), Transform(0.0).forward(data)
    np.testing.assert_allclose(near, log, rtol=1e-4)


def test_missing_values_stay_missing():
    made = Transform(0.0).forward(positive([1.0, np.nan, np.e]))
    np.testing.assert_allclose(made, [[0.0, np.nan, 1.0]])


@pytest.mark.parametrize("value", [0.0, -3.5])
@pytest.mark.parametrize("exponent", [0.0, 0.5])
def test_what_is_not_positive_is_refused_by_name(value, exponent):
    with pytest.raises(DataError) as caught:
        Transform(exponent).forward(positive([4.0, np.nan, value, 2.0]))
    text = str(caught.value)
    assert text.startswith(f"series 'flow' holds {value:g}, ") and "\n" not in text
    assert text.endswith("Use model.transform=none.")
    np.testing.assert_array_equal(Transform(1.0).forward(positive([value])), [[value]])


def test_a_run_refuses_it_in_one_line(tmp_path):
    path = tmp_path / "two.csv"
    lines = [f"{2000 + t},{t + 1},{t - 5}" for t in range(30)]
    path.write_text("\n".join(["year,up,through zero", *lines]))
    dataset = {"name": "timeseries.csv", "path": str(path)}
    model = {"name": "timeseries.issm", "transform": "log"}
    with pytest.raises(DataError, match=r"series 'through zero' holds -5, .*above 0\. Use"):
        dope.run("timeseries.issm", dataset=dataset, model=model, runs=tmp_path)


def test_names_of_transforms():
    assert Transform.named("none", 0.5) == Transform(1.0)
    assert Transform.named("log", 0.5) == Transform(0.0)
    assert Transform.named("boxcox", 0.5) == Transform(0.5)
    with pytest.raises(ConfigError, match=r"model\.boxcox_lambda=2\.5 is out of range"):
        Transform.named("boxcox", 2.5)


def test_without_a_transform_mean_and_quantiles_are_the_normals():
    stats = pytest.importorskip("scipy.stats")
    made, *_ = forecast(1.0)
    np.testing.assert_array_equal(made.mean, made.centre)
    for q in (0.025, 0.1, 0.5, 0.9):
        expected = stats.norm.ppf(q, made.centre, made.deviation)
        np.testing.assert_allclose(made.quantile(q), expected, rtol=1e-12)
    lower, upper = made.interval(80)
    np.testing.assert_allclose(lower, made.quantile(0.1))
    np.testing.assert_allclose(upper, made.quantile(0.9))


def test_the_mean_after_a_logarithm_is_the_lognormals():
    stats = pytest.importorskip("scipy.stats")
    centre, deviation = np.array([[-1.0, 0.0, 4.0]]), np.array([[0.1, 1.0, 2.0]])
    made, *_ = forecast(0.0, centre, deviation)
    law = stats.lognorm(s=deviation, scale=np.exp(centre))
    np.testing.assert_allclose(made.mean, law.mean(), rtol=1e-12)
    np.testing.assert_allclose(made.quantile(0.9), law.ppf(0.9), rtol=1e-12)
    assert (made.mean > made.quantile(0.5)).all()  # the median's image is not the mean


@pytest.mark.parametrize("exponent", [-0.3, 0.2, 0.5, 1.5])
def test_the_mean_after_box_cox_is_that_of_many_draws(exponent):
    transform = Transform(exponent)
    centre = transform.forward(positive([3.0, 20.0, 300.0]))
    deviation = 0.12 * np.abs(centre + 1 / exponent)
    found = transform.mean(centre, deviation)
    draws = np.random.default_rng(0).normal(size=(400_000, 1))
    draws = np.concatenate([draws, -draws])  # antithetic: the first order cancels
    values = transform.backward(centre + deviation * draws)
    error = values.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(found - values.mean(axis=0)) < 4 * error).all()
    bend = np.sign(1 - exponent)  # the way back is convex below 1, concave above
    assert (bend * (found - transform.backward(centre)) > 4 * error).all()


def test_the_mean_after_a_square_root_has_its_closed_form():
    # y = (x / 2 + 1)^2, so E y = (m / 2 + 1)^2 + s^2 / 4
    centre, deviation = np.array([[4.0, 10.0]]), np.array([[0.3, 1.0]])
    found = Transform(0.5).mean(centre, deviation)
    np.testing.assert_allclose(found, (centre / 2 + 1) ** 2 + deviation**2 / 4, rtol=1e-12)


@pytest.mark.parametrize("exponent", LAMBDAS)
@pytest.mark.parametrize("spread", [0.01, 0.5, 5.0])
def test_quantiles_are_monotone_and_finite_however_wide(exponent, spread):
    centre = Transform(exponent).forward(positive([0.5, 2.0, 100.0]))
    made, *_ = forecast(exponent, centre, np.full_like(centre, spread))
    levels = np.array([0.001, 0.01, 0.1, 0.4, 0.5, 0.6, 0.9, 0.99, 0.999])
    quantiles = np.stack([made.quantile(q) for q in levels])
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=0) >= 0).all()
    inside = (Transform(exponent).exponent * centre + 1 > 4 * abs(exponent) * spread).all()
    if inside or exponent in (0.0, 1.0):
        assert (np.diff(quantiles, axis=0) > 0).all()


def test_of_takes_the_steps_after_the_last_place_of_each_series():
    data = Simulated(kind="trend", series=3, length=50, seed=4).load()
    values = data.values.copy()
    values[1, 40:] = np.nan  # shorter: ends at 40
    values[2, 47:] = np.nan  # as long, but its last three are missing
    ends = [50, 40, 50]
    data = replace(data, values=values, stamps=[s[:n] for s, n in zip(data.stamps, ends)])
    structure, ones = Structure(trend=True), np.ones(3)
    g = np.tile([0.5, 0.1], (3, 1))
    trajectory = filter_states(structure, g, values, ones, ones)
    made = Forecast.of(trajectory, data, 5, Transform())
    mean, deviation = trajectory.forecast(8)
    for i, skipped in enumerate((0, 0, 3)):
        np.testing.assert_array_equal(made.centre[i], mean[i, skipped : skipped + 5])
        np.testing.assert_array_equal(made.deviation[i], deviation[i, skipped : skipped + 5])
        assert made.stamps[i].tolist() == list(range(ends[i] + 1, ends[i] + 6))


def test_scores_are_what_the_definitions_give():
    made, training, actual = forecast(0.0)
    found = made.scores(training, actual, [50.0, 80.0])
    y, f, z = actual[0], made.mean[0], training.values[0]
    assert found["mase"] == pytest.approx(np.abs(y - f).mean() / np.abs(z[12:] - z[:-12]).mean())
    assert found["smape"] == pytest.approx(200 * np.mean(np.abs(y - f) / (y + f)))
    losses = []
    for q in np.arange(1, 10) / 10:
        error = y - made.quantile(q)[0]
        losses.append(2 * np.maximum(q * error, (q - 1) * error).sum() / y.sum())
    assert found["wql"] == pytest.approx(np.mean(losses))
    lower, upper = (end[0] for end in made.interval(80.0))
    assert found["coverage_80"] == pytest.approx(np.mean((lower <= y) & (y <= upper)))
    assert set(found) == {"mase", "smape", "wql", "coverage_50", "coverage_80"}


def test_baselines_are_the_last_value_and_the_last_season():
    _, training, actual = forecast()
    found = baselines(training, actual, [80.0])
    z, y = training.values[0], actual[0]
    scale = np.abs(z[12:] - z[:-12]).mean()
    assert found["naive"]["mase"] == pytest.approx(np.abs(y - z[-1]).mean() / scale)
    season = np.tile(z[-12:], 2)
    assert found["seasonal_naive"]["mase"] == pytest.approx(np.abs(y - season).mean() / scale)
    flat = replace(training, season=1)
    assert set(baselines(flat, actual, [80.0])) == {"naive"}


def test_the_table_says_what_the_forecast_says():
    made, _, actual = forecast(0.0)
    actual = actual.copy()
    actual[0, 3] = np.nan
    table = list(csv.DictReader(io.StringIO(made.to_csv([50.0, 97.5], actual))))
    assert list(table[0]) == [
        "series", "stamp", "actual", "mean", "lower_50", "upper_50", "lower_97.5", "upper_97.5",
    ]  # fmt: skip
    assert table[3]["actual"] == "" and table[0]["stamp"].startswith("1959-01")
    np.testing.assert_allclose([float(r["mean"]) for r in table], made.mean[0], rtol=1e-7)
    upper = [float(r["upper_97.5"]) for r in table]
    np.testing.assert_allclose(upper, made.quantile(0.9875)[0], rtol=1e-7)


@pytest.mark.parametrize(("kind", "series"), [("level", 500), ("trend", 2500)])
def test_intervals_of_fitted_series_cover_what_they_say(kind, series, tmp_path):
    # Strengths are taken for known once they are learned, which makes intervals a little narrow:
    # 80 % covers 0.79 (level) and 0.76 (trend) of what follows 100 values. Of 500 trends alone,
    # which scatter by 0.011, about one draw in eight lies below 0.75: hence 2500.
    dataset = {"name": "timeseries.simulated", "kind": kind, "series": series, "length": 112}
    run = dope.run(
        "timeseries.issm",
        dataset={**dataset, "holdout": 12, "seed": 11},
        model={"name": "timeseries.issm", "trend": kind == "trend", "seasonal": 1},
        task={"plots": 0},
        runs=tmp_path,
    )
    assert 0.75 <= run.metrics["coverage_80"] <= 0.85
    assert 0.90 <= run.metrics["coverage_95"] <= 0.98
    assert 0.44 <= run.metrics["coverage_50"] <= 0.56


@pytest.mark.parametrize("kind", ["level", "trend", "seasonal"])
def test_intervals_of_known_strengths_cover_exactly_what_they_say(kind):
    options = {"kind": kind, "series": 2000, "length": 62, "season": 4, "holdout": 12, "seed": 11}
    training, actual = Simulated(**options).load().split()
    structure = Structure(trend=kind != "level", season=training.season)
    g = structure.innovation_vector(np.array([0.5, 0.05, 0.2])[: len(structure.strengths)])
    ones = np.ones(2000)
    found = filter_states(structure, np.tile(g, (2000, 1)), training.values, ones, ones)
    found = replace(found, sigma=ones)
    made = Forecast.of(found, training, 12, Transform())
    scores = made.scores(training, actual, [50.0, 80.0, 95.0])
    for percent in (50, 80, 95):
        assert scores[f"coverage_{percent}"] == pytest.approx(percent / 100, abs=0.015)


def test_a_logarithm_fits_as_if_the_logarithms_were_the_data(tmp_path):
    data = Airline(holdout=0).load()
    path = tmp_path / "logs.csv"
    lines = [f"{t + 1},{np.log(v):.17g}" for t, v in enumerate(data.values[0])]
    path.write_text("\n".join(["step,logs", *lines]))
    plain = {"name": "timeseries.csv", "path": str(path), "season": 12, "holdout": 24}
    airline = {"name": "timeseries.airline", "holdout": 24}
    found = [
        dope.run(
            "timeseries.issm",
            dataset=dataset,
            model={"name": "timeseries.issm", "transform": transform},
            task={"plots": 0},
            runs=tmp_path,
        )
        for dataset, transform in ((plain, "none"), (airline, "log"))
    ]
    tables = [list(csv.DictReader((run.path / "forecast.csv").open(newline=""))) for run in found]
    logs, values = ([float(row["upper_80"]) for row in table] for table in tables)
    np.testing.assert_allclose(values, np.exp(logs), rtol=1e-5)
    # the mean lies above the median: by half the variance, in logarithms
    half = [(float(r["upper_80"]) - float(r["mean"])) / 1.2815516 for r in tables[0]]
    means = [[float(row["mean"]) for row in table] for table in tables]
    np.testing.assert_allclose(means[1], np.exp(means[0] + 0.5 * np.square(half)), rtol=1e-5)
