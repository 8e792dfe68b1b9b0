"""The task timeseries.lds against statsmodels, dense Gaussians and the truth of simulated data.

Holds the tests of lds.py, system.py and rotation.py; the filter's own are in test_kalman.py.
"""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import dope
from dope.core.backend import mx
from dope.core.errors import ConfigError, RunError
from dope.plugins.timeseries import kalman
from dope.plugins.timeseries.rotation import Rotation
from dope.plugins.timeseries.system import (
    Observations,
    SystemModel,
    _covariance,
    _from_covariance,
    _spectral,
)

QUIET = {"evaluate_every": 1000, "checkpoint_every": 1000}
LOCAL_LEVEL = {
    "state": 1,
    "A": [[1.0]],
    "B": [[1.0]],
    "mu0": [0.0],
    "S0": [[1e7]],
    "learn": ["S_h", "S_v"],
}
NILE = {"name": "timeseries.nile", "holdout": 0}


@pytest.fixture
def run(tmp_path):
    def start(epochs=1, task=None, **sections):
        trainer = {**QUIET, "epochs": epochs, **sections.pop("trainer", {})}
        task = {"plots": 0, **(task or {})}
        return dope.run("timeseries.lds", runs=tmp_path, task=task, trainer=trainer, **sections)

    return start


def dense_log_likelihood(values, system):
    """log N(v) of one series (T, D), NaN where missing, from its joint covariance."""
    from scipy.stats import multivariate_normal

    A, B, S_h, S_v, mu0, S0 = system
    T = len(values)
    means, blocks = [mu0], {}
    cov = S0
    for t in range(T):
        lagged = cov
        for u in range(t, T):
            blocks[u, t] = B @ lagged @ B.T
            blocks[t, u] = blocks[u, t].T
            lagged = A @ lagged
        blocks[t, t] = blocks[t, t] + S_v
        means.append(A @ means[-1])
        cov = A @ cov @ A.T + S_h
    joint = np.block([[blocks[t, u] for u in range(T)] for t in range(T)])
    mean = np.concatenate([B @ m for m in means[:T]])
    seen = ~np.isnan(values.ravel())
    return multivariate_normal.logpdf(
        values.ravel()[seen], mean[seen], joint[np.ix_(seen, seen)], allow_singular=True
    )


@pytest.fixture(scope="module")
def peer():
    """statsmodels' local level of the Nile with the same known first state: N(0, 1e7)."""
    structural = pytest.importorskip("statsmodels.tsa.statespace.structural")
    from dope.plugins.timeseries.series import Nile

    model = structural.UnobservedComponents(Nile(holdout=0).load().values[0], "llevel")
    model.ssm.initialize_known(np.array([0.0]), np.array([[1e7]]))
    model.loglikelihood_burn = model.ssm.loglikelihood_burn = 0
    return model.fit(disp=0)


def test_maximum_likelihood_on_the_nile_is_that_of_statsmodels(run, peer):
    learned = run(epochs=10, dataset=NILE, model=LOCAL_LEVEL)
    system = learned.nets.in_units()
    noise, level = peer.params
    assert learned.metrics["log_likelihood"] == pytest.approx(peer.llf, abs=0.02)
    assert system.S_v[0, 0] == pytest.approx(noise, rel=0.04)
    assert system.S_h[0, 0] == pytest.approx(level, rel=0.04)
    # Durbin and Koopman (2012, section 2.10.3) start diffusely, which 1e7 all but is.
    assert system.S_v[0, 0] == pytest.approx(15099, rel=0.04)
    assert system.S_h[0, 0] == pytest.approx(1469.1, rel=0.04)


def test_em_on_the_nile_climbs_to_the_optimum_of_statsmodels(run, peer):
    learned = run(epochs=5, task={"learning": "em"}, dataset=NILE, model=LOCAL_LEVEL)
    assert learned.metrics["log_likelihood"] == pytest.approx(peer.llf, abs=0.1)
    losses = [row["loss"] for row in learned.directory.metrics()]
    assert (np.diff(losses) < 1e-9).all()


def test_em_and_gradients_reach_the_same_likelihood(run):
    given = {
        "A": [[0.5, -0.5], [0.5, 0.5]],
        "B": [[1.0, 0.0]],
        "S_h": [[1.0, 0.0], [0.0, 1.0]],
        "S_v": [[0.25]],
        "mu0": [0.0, 0.0],
        "S0": [[0.25, 0.0], [0.0, 0.25]],
        "learn": ["A", "S_h", "mu0"],
    }
    shared = {"dataset": {"series": 12, "length": 30, "holdout": 0}, "model": given}
    likelihoods = [
        run(epochs=epochs, task={"learning": way}, **shared).metrics["log_likelihood"]
        for way, epochs in (("em", 12), ("ml", 12))
    ]
    assert likelihoods[0] == pytest.approx(likelihoods[1], abs=0.1)


def test_the_rotation_is_recovered_up_to_similarity(run):
    data = {"series": 200, "length": 50, "holdout": 0}
    learned = run(epochs=10, dataset=data, model={"center": False})
    eigenvalues = np.linalg.eigvals(learned.nets.in_units().A)
    truth = np.exp(1j * np.pi / 6)
    upper = eigenvalues[eigenvalues.imag > 0]
    assert len(upper) == 1
    assert abs(upper[0] - truth) < 0.01
    assert learned.metrics["period"] == pytest.approx(12, abs=0.1)
    figures = learned.metrics
    assert figures["log_likelihood"] > figures["log_likelihood_of_truth"]


def test_the_spectral_guess_finds_a_rotation_from_autocovariances():
    v = Rotation(series=100, length=60, missing=0.2).load().values[:, :, None]
    A, B = _spectral(v, 2)
    upper = [e for e in np.linalg.eigvals(A) if e.imag > 0]
    assert len(upper) == 1
    assert abs(upper[0] - np.exp(1j * np.pi / 6)) < 0.05
    assert B.shape == (1, 2)
    assert _spectral(v[:, :3], 2) is None


@pytest.mark.parametrize("learning", ["ml", "em"])
def test_two_contexts_and_one_give_the_same_system(run, learning):
    found = [
        run(
            epochs=2,
            task={"learning": learning},
            dataset={"series": 5, "length": 25, "holdout": 4, "missing": 0.1},
            contexts=contexts,
        )
        for contexts in ("cpu(0)", "cpu(0),cpu(1)")
    ]
    for a, b in zip(*(each.nets.in_units() for each in found)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert found[0].metrics["mase"] == pytest.approx(found[1].metrics["mase"], rel=1e-9)


def test_hybridized_and_imperative_give_the_same_system(run):
    found = [
        run(dataset={"series": 4, "length": 20, "holdout": 0}, task={"steps": 5}, hybridize=how)
        for how in (True, False)
    ]
    for a, b in zip(*(each.nets.in_units() for each in found)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("length", [12, 170])  # unrolled, and looped
def test_the_loss_is_the_dense_log_density_of_each_series(length):
    rng = np.random.default_rng(3)
    v = 50.0 + 20.0 * rng.normal(size=(3, length, 2)).cumsum(axis=1) * [1.0, 0.01]
    v[0, 2:4] = np.nan
    v[1, 5, 0] = np.nan
    v[2, length - 4 :] = np.nan  # a shorter series
    net = SystemModel(Observations(v), state=3, init="random")
    net.initialize()
    known = ~np.isnan(v)
    values, mask = (mx.nd.array(x, dtype="float64") for x in (np.where(known, v, 0.0), known))
    losses = net(values, mask)
    assert losses.shape == (3,)
    expected = [-dense_log_likelihood(each - net.units()[0], net.in_units()) for each in v]
    np.testing.assert_allclose(losses.asnumpy(), expected, rtol=1e-8)


def test_all_learned_parameters_move_and_no_others(run):
    for learning in ("ml", "em"):
        shared = {
            "dataset": {"series": 4, "length": 20, "holdout": 0},
            "model": {"learn": ["A", "S_h", "mu0", "S0"]},
        }
        start = run(epochs=0, task={"learning": learning}, **shared).nets.in_units()
        end = run(epochs=1, task={"learning": learning, "steps": 2}, **shared).nets.in_units()
        moved = [
            name
            for name, a, b in zip(start._fields, start, end)
            if not np.allclose(a, b, rtol=1e-6)
        ]
        assert moved == ["A", "S_h", "mu0", "S0"]


def test_the_held_out_loss_is_the_density_given_the_past(run):
    learned = run(
        epochs=1, dataset={"series": 3, "length": 20, "holdout": 5}, trainer={"evaluate_every": 1}
    )
    values = learned.task.dataset.load().values[:, :, None] - learned.nets.units()[0]
    system = learned.nets.in_units()
    ahead = [dense_log_likelihood(v, system) - dense_log_likelihood(v[:15], system) for v in values]
    assert learned.metrics["valid_loss"] == pytest.approx(-np.sum(ahead) / 15, rel=1e-8)


def test_the_book_profile_filters_and_smooths_with_the_true_parameters(tmp_path):
    smoother = pytest.importorskip("statsmodels.tsa.statespace.kalman_smoother")
    found = dope.run("timeseries.lds", profile="book", runs=tmp_path)
    data = Rotation(series=1)
    for known, truth in zip(found.nets.in_units(), data.system):
        np.testing.assert_allclose(known, truth, rtol=1e-9, atol=1e-12)
    A, B, S_h, S_v, mu0, S0 = data.system
    model = smoother.KalmanSmoother(
        k_endog=1, k_states=2, design=B, transition=A, selection=np.eye(2), state_cov=S_h,
        obs_cov=S_v,
    )  # fmt: skip
    model.tolerance = 0
    model.bind(data.load().values[0][:, None].copy())
    model.initialize_known(mu0, S0)
    golden = model.smooth()
    assert found.metrics["log_likelihood"] == pytest.approx(golden.llf, rel=1e-9)
    with (found.path / "states.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 50
    for h in range(2):
        for key, expected in (
            (f"filtered_{h + 1}", golden.filtered_state[h]),
            (f"filtered_{h + 1}_deviation", np.sqrt(golden.filtered_state_cov[h, h])),
            (f"smoothed_{h + 1}", golden.smoothed_state[h]),
            (f"smoothed_{h + 1}_deviation", np.sqrt(golden.smoothed_state_cov[h, h])),
        ):
            column = [float(row[key]) for row in rows]
            np.testing.assert_allclose(column, expected, rtol=1e-6, atol=1e-7)
    for name in ("states-1.png", "forecast-1.png"):
        assert (found.path / "plots" / name).read_bytes().startswith(b"\x89PNG")


def test_columns_become_components_aligned_by_their_stamps(run, tmp_path):
    rng = np.random.default_rng(0)
    common = rng.normal(size=40).cumsum()
    lines = ["month,apples,pears"]
    for t in range(40):
        apples = f"{100 + 10 * common[t] + rng.normal():.3f}"
        pears = "" if t < 4 else f"{5 - common[t] + 0.1 * rng.normal():.3f}"
        lines.append(f"{2000 + t // 12}-{t % 12 + 1:02d},{apples},{pears}")
    path = tmp_path / "fruit.csv"
    path.write_text("\n".join(lines) + "\n")
    found = run(
        task={"multivariate": True, "steps": 3, "plots": 2},
        dataset={"name": "timeseries.csv", "path": str(path), "season": 1, "holdout": 6},
        model={"state": 1},
    )
    assert found.task.values.shape == (1, 40, 2)
    assert np.isnan(found.task.values[0, :, 1]).sum() == 4
    system = found.nets.in_units()
    assert system.B.shape == (2, 1)
    assert system.B[0, 0] * system.B[1, 0] < 0  # they move against each other
    with (found.path / "held_out.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["series"] for row in rows] == ["apples"] * 6 + ["pears"] * 6
    assert rows[0]["stamp"] == rows[6]["stamp"] == "2002-11"
    last = [line.split(",") for line in lines[-6:]]
    assert [float(row["actual"]) for row in rows[:6]] == [float(cells[1]) for cells in last]
    with (found.path / "forecast.csv").open() as handle:
        assert next(csv.DictReader(handle))["stamp"] == "2003-05"


def test_a_trained_run_predicts_the_data_it_is_given_now(run):
    learned = run(task={"steps": 3}, dataset={"series": 3, "length": 20, "holdout": 4})
    rows = learned.predict()["rows"]
    with (learned.path / "forecast.csv").open() as handle:
        written = [float(row["mean"]) for row in csv.DictReader(handle)]
    np.testing.assert_allclose([row["mean"] for row in rows], written, rtol=1e-6)

    other = Rotation(series=2, length=30, seed=5)
    given = {"name": "timeseries.rotation", "series": 2, "length": 30, "seed": 5, "holdout": 0}
    rows = learned.predict(dataset=given, task={"horizon": 1})["rows"]
    saved = json.loads((learned.path / "system.json").read_text())
    system = [mx.nd.array(saved[k], dtype="float64") for k in kalman.System._fields]
    values = other.load().values[:, :, None] - saved["center"]
    mean = kalman.filter(values, *system).mean.asnumpy()[:, -1]
    A, B = np.array(saved["A"]), np.array(saved["B"])
    expected = (mean @ A.T @ B.T)[:, 0] + saved["center"][0]
    np.testing.assert_allclose([row["mean"] for row in rows], expected, rtol=1e-8)
    with pytest.raises(RunError, match="shape"):
        learned.predict(dataset=given, task={"multivariate": True})


def test_float32_learns_what_float64_learns(run):
    found = [
        run(dataset={"series": 4, "length": 25, "holdout": 0}, model={"dtype": dtype})
        for dtype in ("float32", "float64")
    ]
    assert found[0].nets.A.data().dtype == np.float32
    assert found[0].metrics["loss"] == pytest.approx(found[1].metrics["loss"], rel=1e-4)


def test_covariances_survive_their_parameters():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 4))
    full = x @ x.T
    for S in (full, np.diag([1e8, 1.0, 1e-6, 3.0]), np.array([[2.5]]), np.outer(x[0], x[0])):
        back = _covariance(mx.nd, mx.nd.array(_from_covariance(S), dtype="float64")).asnumpy()
        deviations = np.sqrt(np.diag(S))
        assert np.abs((back - S) / np.outer(deviations, deviations)).max() < 1e-10
    nothing = _covariance(mx.nd, mx.nd.array(_from_covariance(np.zeros((2, 2))), dtype="float64"))
    assert nothing.asnumpy().max() <= 1e-17


def test_the_rotation_has_the_moments_of_its_system():
    data = Rotation(series=4000, length=3, angle=90.0, state_noise=0.3, noise=0.4)
    values = data.load().values
    # From (1, 0), quarter turns: (0, 1), (-1, 0), (0, -1); the variances add up, turned or not.
    np.testing.assert_allclose(values.mean(axis=0), [0.0, -1.0, 0.0], atol=0.04)
    np.testing.assert_allclose(values.var(axis=0), 0.16 + 0.09 * np.arange(1, 4), rtol=0.08)
    np.testing.assert_array_equal(values, data.load().values)
    gaps = np.isnan(Rotation(series=200, length=50, missing=0.3).load().values)
    assert gaps.mean() == pytest.approx(0.3 * 48 / 50, abs=0.02)
    assert not gaps[:, [0, -1]].any()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"task": {"learning": "none"}}, "not all parameters are known"),
        ({"task": {"steps": 0}}, "task.steps=0"),
        ({"task": {"horizon": 0}}, "task.horizon=0"),
        ({"task": {"levels": [120.0]}}, "no percentage"),
        ({"task": {"learning": "em"}, "trainer": {"batch_size": 2}}, "batch_size"),
        ({"optimizer": "bfgs"}, "one model a series"),
        ({"model": {"learn": []}}, "model.learn is empty"),
        ({"model": {"learn": ["C"]}}, "learn"),
        ({"model": {"state": 0}}, "model.state=0"),
        ({"model": {"A": [[1.0]]}}, "model.A has shape"),
        ({"model": {"A": [[1.0], [1.0, 2.0]]}}, "unequal length"),
        ({"model": {"S_h": [[1.0, 2.0], [2.0, 1.0]]}}, "model.S_h is no covariance"),
        ({"model": {"S0": [[1.0, 0.5], [0.0, 1.0]]}}, "model.S0 is no covariance"),
        ({"model": {"S_v": [[0.0]]}}, "model.S_v is singular"),
        ({"model": {"init": "truth", "state": 3}}, "model.A has shape"),
        ({"dataset": "timeseries.nile", "model": {"init": "truth"}}, "no true system"),
        ({"dataset": {"missing": 1.0}}, "dataset.missing=1.0"),
        ({"dataset": {"length": 12, "holdout": 10}}, "dataset.length=12"),
        ({"dataset": {"noise": 0.0}}, "dataset.noise=0.0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(run, sections, message):
    with pytest.raises(ConfigError, match=message) as caught:
        run(**sections)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
