"""timeseries.issm learns: the maximum, awkward series, contexts, narrowing, kills, its files.

Holds the tests of issm.py and its plots; the filter's are test_innovations.py's, what is made of
a forecast test_forecasting.py's.
"""

from __future__ import annotations

import csv
import json
import time

import numpy as np
import pytest

import dope
from dope.core.errors import ConfigError, DataError, RunError
from dope.plugins.timeseries import issm
from dope.plugins.timeseries.innovations import Structure, filter_states
from dope.plugins.timeseries.issm import InnovationModel
from dope.plugins.timeseries.series import Simulated

pytestmark = pytest.mark.usefixtures("one_thread")

MODELS = {
    "level": {"trend": False, "seasonal": 1},
    "trend": {"trend": True, "seasonal": 1},
    "seasonal": {"trend": True, "seasonal": 4},
}
PLOT = "plots/forecast-1.png"


def fit(tmp_path, dataset, model=None, **more):
    model = {"name": "timeseries.issm", **(model or {})}
    return dope.run("timeseries.issm", dataset=dataset, model=model, runs=tmp_path, **more)


def simulated(kind, series=4, length=60, **more):
    more = {"season": 4, "seed": 5, **more}
    return {
        "name": "timeseries.simulated",
        "kind": kind,
        "series": series,
        "length": length,
        **more,
    }


def wide(path, columns, start=0):
    """A CSV file with a column of years and one a series; NaN is an empty cell."""
    length = max(map(len, columns.values()))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["year", *columns])
        for t in range(length):
            cells = [v[t] if t < len(v) and not np.isnan(v[t]) else "" for v in columns.values()]
            writer.writerow([1900 + start + t, *cells])
    return {"name": "timeseries.csv", "path": str(path), "frequency": "year", "season": 1}


def rows(run, name):
    with (run.path / name).open(newline="") as file:
        return list(csv.DictReader(file))


def learned(run):
    return run.nets.strengths.list_data()[0].asnumpy()


def starts(structure):
    grid = {"level": (-0.7, 0.7, -3.0), "trend": (-3.0, -2.0, -5.0), "season": (-1.5, -3.0, -1.0)}
    return np.array([grid[key] for key in structure.strengths]).T


@pytest.mark.parametrize("kind", MODELS)
def test_the_learned_maximum_is_statsmodels(peer, kind, tmp_path):
    run = fit(tmp_path, simulated(kind, 20, 80), MODELS[kind])
    assert run.result["stopped"].startswith("settled")
    found = run.nets.trajectory().log_likelihood
    structure = run.nets.structure
    series = run.task.training.values
    best = [peer(structure, z).maximum(starts(structure)) for z in series]
    below = np.array(best) - found
    assert np.sum(below < 0.1) >= 19 and below.max() < 1
    assert below.min() > -0.1  # nor does dope claim more than there is
    assert run.metrics["log_likelihood"] == pytest.approx(found.sum())


def test_the_learned_maximum_with_gaps_and_fixed_damping_is_statsmodels(peer, tmp_path):
    rng = np.random.default_rng(1)
    series = Simulated(kind="trend", series=6, length=70, seed=3).load().values
    series[:, 2:-2][rng.random((6, 66)) < 0.15] = np.nan
    dataset = {**wide(tmp_path / "a.csv", {f"s{i}": z for i, z in enumerate(series)}), "holdout": 0}
    run = fit(tmp_path, dataset, {**MODELS["trend"], "trend_damping": 0.9})
    assert not run.nets.differenced
    found = run.nets.trajectory().log_likelihood
    structure = run.nets.structure
    best = [peer(structure, z, 1.0, 0.9).maximum(starts(structure)) for z in series]
    assert np.abs(np.array(best) - found).max() < 0.1


def test_learned_damping_is_no_worse_than_any_fixed_one(tmp_path):
    dataset = simulated("trend", 6, 80, trend_strength=0.2)
    run = fit(tmp_path, dataset, {**MODELS["trend"], "trend_damping": "learn"})
    free = run.nets.trajectory().log_likelihood
    factor = run.nets.learned()["trend_damping"]
    assert ((factor > 0) & (factor < 1)).all() and np.ptp(factor) > 1e-3
    assert {"trend_damping", "beta"} <= set(rows(run, "parameters.csv")[0])
    for phi in (0.5, 0.9, 0.98):
        fixed = fit(tmp_path, dataset, {**MODELS["trend"], "trend_damping": phi})
        assert (free > fixed.nets.trajectory().log_likelihood - 0.1).all(), phi


def test_a_learned_level_damping_is_found_again(tmp_path):
    rng = np.random.default_rng(0)
    z = np.zeros((8, 250))
    for t in range(1, 250):
        z[:, t] = 0.7 * z[:, t - 1] + rng.normal(size=8)
    z += 0.3 * rng.normal(size=z.shape)
    dataset = {**wide(tmp_path / "a.csv", {f"s{i}": x for i, x in enumerate(z)}), "holdout": 0}
    run = fit(tmp_path, dataset, {**MODELS["level"], "level_damping": "learn"})
    factor = run.nets.learned()["level_damping"]
    assert abs(factor.mean() - 0.7) < 0.05 and np.abs(factor - 0.7).max() < 0.2


def test_true_strengths_are_found_again(tmp_path):
    run = fit(
        tmp_path, simulated("level", 100, 200, level_strength=0.5, noise=2.0), MODELS["level"]
    )
    table = rows(run, "parameters.csv")
    assert np.median([float(row["alpha"]) for row in table]) == pytest.approx(0.5, rel=0.1)
    assert np.median([float(row["sigma"]) for row in table]) == pytest.approx(2.0, rel=0.03)
    assert run.metrics["alpha"] == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
def test_contexts_and_imperative_learn_the_same(kind, gaps, tmp_path):
    dataset = simulated(kind, series=7, length=40)
    if gaps:
        values = Simulated(**{k: v for k, v in dataset.items() if k != "name"}).load().values
        values[:, 10] = values[2, 20:23] = np.nan
        columns = {f"s{i}": z for i, z in enumerate(values)}
        dataset = {**wide(tmp_path / "a.csv", columns), "holdout": 0}
    found = [
        learned(fit(tmp_path, dataset, MODELS[kind], **settings))
        for settings in ({}, {"contexts": "cpu(0),cpu(1)"}, {"hybridize": False})
    ]
    assert len(found[0]) == 7
    np.testing.assert_allclose(found[1], found[0], atol=1e-10)
    np.testing.assert_allclose(found[2], found[0], atol=1e-10)


@pytest.mark.parametrize("contexts", ["cpu(0)", "cpu(0),cpu(1)"])
def test_leaving_out_settled_rows_changes_nothing(monkeypatch, tmp_path, contexts):
    dataset = simulated("trend", 70, 50)
    narrowed = []
    narrow = issm.ArrayBatches.narrow

    def watched(self, chosen):
        narrowed.append(len(chosen))
        narrow(self, chosen)

    monkeypatch.setattr(issm.ArrayBatches, "narrow", watched)
    one = fit(tmp_path, dataset, MODELS["trend"], contexts=contexts)
    assert narrowed and min(narrowed) < 70
    assert narrowed == sorted(narrowed, reverse=True)
    count = len(narrowed)
    monkeypatch.setattr(issm, "MANY", 10**9)
    two = fit(tmp_path, dataset, MODELS["trend"], contexts=contexts)
    assert len(narrowed) == count
    np.testing.assert_allclose(learned(one), learned(two), atol=1e-8)
    assert one.metrics["loss"] == pytest.approx(two.metrics["loss"], rel=1e-9)


def test_the_same_seed_gives_the_same_bits(toy, tmp_path):
    found = [
        toy.final_arrays(fit(tmp_path, simulated("seasonal"), MODELS["seasonal"]).path)
        for _ in range(2)
    ]
    assert found[0] == found[1]


SLOWED = """
import time
from dope.plugins.timeseries.issm import InnovationStateSpace as Task
step = Task.step
def slowed(self, engine, batch):
    time.sleep(0.03)
    return step(self, engine, batch)
Task.step = slowed
"""


def test_killed_three_times_and_resumed_it_ends_with_the_same_bits(toy, tmp_path):
    # 80 series: settled ones are left out of later epochs, and so they must be after a kill
    args = ["dataset=timeseries.simulated", "dataset.series=80", "dataset.length=30"]
    args += ["dataset.seed=3", "task.plots=1", "--quiet", "--runs"]
    whole = toy.dope("run", "timeseries.issm", *args, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    runs, run = tmp_path / "runs", None
    rng = np.random.default_rng()
    for kill in range(3):
        names = {p.name for p in runs.glob("*/*/checkpoints/*.npz")}
        if run is None:
            process = toy.start("run", "timeseries.issm", *args, runs, before=SLOWED)
        else:
            process = toy.start("resume", run, "--quiet", before=SLOWED)
        while process.poll() is None:
            if {p.name for p in runs.glob("*/*/checkpoints/*.npz")} - names:
                break
            time.sleep(0.002)
        assert process.poll() is None, (kill, process.communicate())
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        assert process.wait() == -toy.SIGKILL
        process.communicate()
        run = toy.only_run(runs)
        assert json.loads((run / "result.json").read_text())["status"] == "running"
    done = toy.dope("resume", run, "--quiet")
    assert done.returncode == 0, done.stderr
    expected = toy.only_run(tmp_path / "whole")
    assert toy.final_arrays(run) == toy.final_arrays(expected)
    for name in ("forecast.csv", "parameters.csv"):
        assert (run / name).read_bytes() == (expected / name).read_bytes()
    losses = [
        [json.loads(line)["loss"] for line in (each / "metrics.jsonl").read_text().splitlines()]
        for each in (run, expected)
    ]
    assert losses[0] == losses[1]


@pytest.fixture(scope="module")
def ragged(tmp_path_factory):
    """Series of different lengths, with gaps at the start, inside and at the end."""
    folder = tmp_path_factory.mktemp("ragged")
    values = Simulated(kind="trend", series=4, length=60, seed=2).load().values
    values[1, :7] = np.nan  # begins later
    values[2, 50:] = np.nan  # ends earlier
    values[3, 20:25] = values[3, 47:50] = np.nan  # the last three before the held-out ten
    dataset = wide(folder / "ragged.csv", dict(zip("abcd", values)))
    options = {"horizon": 6, "levels": [80.0, 95.0], "plots": 2}
    model = {"name": "timeseries.issm", **MODELS["trend"]}
    run = dope.run(
        "timeseries.issm", dataset={**dataset, "holdout": 10}, model=model, task=options,
        runs=folder,
    )  # fmt: skip
    return run, values


def test_each_series_of_a_ragged_panel_is_fitted_as_if_alone(ragged, tmp_path):
    run, values = ragged
    together = run.nets.trajectory().log_likelihood
    for i in range(4):
        seen = np.flatnonzero(~np.isnan(values[i]))
        alone = {"only": values[i, seen[0] : seen[-1] + 1]}
        dataset = {**wide(tmp_path / f"{i}.csv", alone), "holdout": 10}
        single = fit(tmp_path, dataset, MODELS["trend"])
        assert single.nets.trajectory().log_likelihood[0] == pytest.approx(together[i], abs=1e-3)


def test_forecast_csv_follows_the_last_observation_of_each_series(ragged):
    run, values = ragged
    table = rows(run, "forecast.csv")
    bounds = ["lower_80", "upper_80", "lower_95", "upper_95"]
    assert list(table[0]) == ["series", "stamp", "mean", *bounds]
    assert len(table) == 4 * 6
    for i, name in enumerate("abcd"):
        last = 1900 + np.flatnonzero(~np.isnan(values[i]))[-1]
        years = [int(row["stamp"][:4]) for row in table if row["series"] == name]
        assert years == list(range(last + 1, last + 7))
    for row in table:
        low95, low80, mean, high80, high95 = (
            float(row[key]) for key in ("lower_95", "lower_80", "mean", "upper_80", "upper_95")
        )
        assert low95 < low80 < mean < high80 < high95


def test_held_out_csv_has_the_values_that_were_kept_back(ragged):
    run, values = ragged
    table = rows(run, "held_out.csv")
    for i, name in enumerate("abcd"):
        seen = np.flatnonzero(~np.isnan(values[i]))
        kept = np.arange(seen[-1] - 9, seen[-1] + 1)
        mine = [row for row in table if row["series"] == name]
        assert [int(row["stamp"][:4]) for row in mine] == (1900 + kept).tolist()
        actual = [float(row["actual"] or "nan") for row in mine]
        np.testing.assert_allclose(actual, values[i, kept], rtol=1e-7)
    inside = np.mean([float(r["lower_80"]) <= float(r["actual"]) <= float(r["upper_80"])
                      for r in table])  # fmt: skip
    assert run.metrics["coverage_80"] == pytest.approx(inside)
    assert "coverage_50" not in run.metrics


def test_the_held_out_forecast_starts_at_the_last_place_also_where_that_is_missing(ragged, peer):
    run, values = ragged
    trained = run.nets.trajectory()
    found = [float(row["mean"]) for row in rows(run, "held_out.csv") if row["series"] == "d"]
    other = peer(Structure(trend=True), np.append(values[3, :50], np.full(10, np.nan)))
    result = other.set(trained.g[3, :2], trained.sigma[3]).filter()
    np.testing.assert_allclose(found, result.forecasts[0, 50:], rtol=1e-5)


def test_parameters_csv_and_plots(ragged):
    run, _ = ragged
    table = rows(run, "parameters.csv")
    assert [row["series"] for row in table] == list("abcd")
    trained = run.nets.trajectory()
    ratios = run.nets.learned()
    for i, row in enumerate(table):
        assert float(row["sigma"]) == pytest.approx(trained.sigma[i], rel=1e-5)
        assert float(row["alpha"]) == pytest.approx(ratios["level"][i] * trained.sigma[i], rel=1e-5)
        assert float(row["initial_slope"]) == pytest.approx(trained.initial[i, 1], rel=1e-5)
        assert float(row["log_likelihood"]) == pytest.approx(trained.log_likelihood[i], rel=1e-5)
    assert sorted(p.name for p in (run.path / "plots").iterdir()) == [
        "curves.png",
        "forecast-1.png",
        "forecast-2.png",
    ]
    image = pytest.importorskip("matplotlib.image").imread(run.path / PLOT)
    assert image.shape[0] > 300 and image.shape[1] > 600
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 50


def test_constant_series_and_straight_lines(tmp_path):
    dataset = wide(
        tmp_path / "a.csv",
        {
            "still": np.full(40, 7.0),
            "line": 3.0 + 2.0 * np.arange(40),
            "zero": np.zeros(40),
            "usual": np.random.default_rng(0).normal(size=40),
        },
    )
    run = fit(tmp_path, {**dataset, "holdout": 5}, MODELS["trend"])
    assert run.result["status"] == "done"
    mean = {}
    for row in rows(run, "forecast.csv"):
        assert all(np.isfinite(float(v)) for k, v in row.items() if k not in ("series", "stamp"))
        mean.setdefault(row["series"], []).append(float(row["mean"]))
    np.testing.assert_allclose(mean["still"], 7.0, atol=1e-4)
    np.testing.assert_allclose(mean["zero"], 0.0, atol=1e-4)
    steps = np.arange(40, 40 + len(mean["line"]))
    np.testing.assert_allclose(mean["line"], 3 + 2.0 * steps, atol=1e-2)


def test_a_series_too_short_for_the_model_is_one_clear_line(tmp_path):
    z = np.random.default_rng(0).normal(size=(2, 9))
    dataset = wide(tmp_path / "a.csv", {"long": z[0], "short": z[1, :5]})
    with pytest.raises(DataError) as caught:
        fit(tmp_path, {**dataset, "holdout": 0}, MODELS["trend"])
    text = str(caught.value)
    assert "series 'short' has 5 values to learn from, this model needs 6" in text
    assert "model.trend=false" in text and "\n" not in text
    assert fit(tmp_path, {**dataset, "holdout": 0}, MODELS["level"]).result["status"] == "done"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"seasonal": 0}, "model.seasonal=0"),
        ({"level_damping": 0.0}, "model.level_damping=0.0"),
        ({"trend_damping": 1.5}, "model.trend_damping=1.5"),
        ({"trend_damping": 0.9, "trend": False}, "without a trend"),
        ({"transform": "boxcox", "boxcox_lambda": 3.0}, "model.boxcox_lambda=3.0"),
    ],
)
def test_options_that_cannot_be(model, said):
    data = Simulated(kind="trend", series=2, length=40).load()
    with pytest.raises(ConfigError) as caught:
        InnovationModel(data, **model)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("task", [{"horizon": 0}, {"levels": [100.0]}, {"levels": [0.0, 50.0]}])
def test_task_options_that_cannot_be(task, tmp_path):
    with pytest.raises(ConfigError, match=r"task\."):
        fit(tmp_path, simulated("level"), MODELS["level"], task=task)
    assert not list(tmp_path.iterdir())


def test_predict_on_other_data_keeps_the_strengths_and_filters_anew(tmp_path):
    data = Simulated(kind="trend", series=2, length=70, seed=8).load().values
    short = wide(tmp_path / "short.csv", dict(zip("ab", data[:, :50])))
    run = fit(tmp_path, {**short, "holdout": 0}, MODELS["trend"], task={"horizon": 4})
    other = wide(tmp_path / "long.csv", dict(zip("ab", 3 * data)))
    found = run.predict(dataset={**other, "holdout": 0})["rows"]
    ratios = run.nets.learned()
    g = run.nets.structure.innovation_vector(np.stack([ratios["level"], ratios["trend"]], 1))
    ones = np.ones(2)
    mean, _ = filter_states(run.nets.structure, g, 3 * data, ones, ones).forecast(4)
    np.testing.assert_allclose([row["mean"] for row in found], mean.ravel(), rtol=1e-6)
    assert [row["stamp"][:4] for row in found[:4]] == ["1970", "1971", "1972", "1973"]
    own = run.predict()["rows"]
    table = rows(run, "forecast.csv")
    for one, two in zip(own, table):
        assert one["mean"] == pytest.approx(float(two["mean"]), rel=1e-6)

    third = wide(tmp_path / "third.csv", {**dict(zip("ab", data)), "c": data[0]})
    with pytest.raises(RunError, match=r"strengths.* has shape \(2, 2\), the model's \(3, 2\)"):
        run.predict(dataset={**third, "holdout": 0})


@pytest.mark.parametrize(
    ("dataset", "model"),
    [
        ("timeseries.airline", {}),
        ("timeseries.airline", {"transform": "log"}),
        ("timeseries.co2", {}),
    ],
)
def test_real_series_are_forecast_better_than_by_seasonal_naive(dataset, model, tmp_path):
    run = fit(tmp_path, {"name": dataset, "holdout": 24}, model)
    naive = run.metrics["baselines"]["seasonal_naive"]["mase"]
    assert run.metrics["mase"] < naive
    assert run.metrics["smape"] < run.metrics["baselines"]["seasonal_naive"]["smape"]
    held = rows(run, "held_out.csv")
    assert len(held) == 24 and len(rows(run, "forecast.csv")) == 24
    assert held[0]["stamp"][:7] == {"airline": "1959-01", "co2": "2000-01"}[dataset[11:]]
