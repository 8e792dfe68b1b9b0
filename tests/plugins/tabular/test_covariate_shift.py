"""Covariate shift: the ratio, the weights and the lines are right, and correction pays.

Holds no contract checks; right answers are SciPy's, or NumPy's least squares.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

import dope
from dope.core.errors import ConfigError
from dope.plugins.tabular import reweighting
from dope.plugins.tabular.shifted import Shifted

SHORT = {
    "task": {"problems": 0},
    "optimizer": {"learning_rate": 0.03},
    "trainer": {"epochs": 15, "batch_size": 50},
}


def test_the_ratio_is_that_of_the_densities():
    data = Shifted(inputs=2, mean=1.0, scale=0.7, shift=0.4, shifted_scale=1.1)
    x = np.random.default_rng(0).normal(size=(50, 2))
    right = (norm(1.4, 1.1).pdf(x) / norm(1.0, 0.7).pdf(x)).prod(axis=1)
    np.testing.assert_allclose(data.ratio(x), right, rtol=1e-10)


def test_points_are_drawn_as_said():
    data = Shifted(train=40_000, test=40_000)
    (x, y, z), (there, values) = data.split("train"), data.split("test")
    for some, mean, scale in ((x, 0.5, 0.5), (z, 0.0, 0.3), (there, 0.0, 0.3)):
        assert some.mean() == pytest.approx(mean, abs=0.01)
        assert some.std() == pytest.approx(scale, abs=0.01)
    assert not np.array_equal(z, there)
    for inputs, outputs in ((x, y), (there, values)):
        rest = outputs - (inputs[:, 0] ** 3 - inputs[:, 0])
        assert abs(rest.mean()) < 0.01 and rest.std() == pytest.approx(0.3, abs=0.01)
    # weights by the true ratio have mean 1, and move the mean to where it is asked
    weights = data.ratio(x)
    assert weights.mean() == pytest.approx(1, abs=0.03)
    assert np.mean(weights * x[:, 0]) == pytest.approx(0, abs=0.02)
    assert data.split("valid") is None


def test_logistic_regression_is_scipys():
    rng = np.random.default_rng(1)
    rows = reweighting.design(rng.normal(size=(300, 2)), 2)
    targets = (rng.random(300) < 1 / (1 + np.exp(-rows @ [0.3, 1, -1, 0.5, 0]))).astype(float)

    def loss(w):
        return np.logaddexp(0, -(2 * targets - 1) * (rows @ w)).sum()

    right = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(reweighting.logistic(rows, targets), right, atol=1e-4)


def test_odds_make_good_for_unequal_numbers():
    data = Shifted(train=20_000)
    x, _, z = data.split("train")
    true = data.ratio(x)
    for m in (20_000, 4_000):
        found = reweighting.ratios(x, z[:m], 2)
        assert found.mean() == pytest.approx(1, abs=0.05)
        assert np.abs(found - true).mean() < 0.12
    assert reweighting.ratios(x, z, 2, limit=1.5).max() == 1.5


def test_effective_sample_size():
    assert reweighting.effective(np.full(7, 3.0)) == pytest.approx(7)
    assert reweighting.effective(np.array([1.0, 0, 0, 0])) == 1
    assert reweighting.effective(np.array([1.0, 3.0])) == pytest.approx(16 / 10)


def test_steps_find_what_is_solved_without_them(tmp_path):
    run = dope.run(
        "tabular.covariate_shift",
        runs=tmp_path,
        task={"problems": 2, "clip": 3.0},
        trainer={"epochs": 80},
    )
    x, y, z = Shifted().split("train")
    weights = reweighting.ratios(x, z, 2, 3.0)
    lines = {
        "plain": reweighting.fit(x, y),
        "corrected": reweighting.fit(x, y, weights),
        "oracle": reweighting.fit(x, y, np.minimum(Shifted().ratio(x), 3.0)),
    }
    rows = run.predict()["rows"]
    there, values = Shifted().split("test")
    for way, line in lines.items():
        right = reweighting.design(there) @ line
        np.testing.assert_allclose([row[way] for row in rows], right, atol=0.02)
        error = np.mean((right - values) ** 2) / 2
        assert run.metrics[f"test_{way}_loss"] == pytest.approx(error, rel=0.03)
    sizes = run.metrics["corrected_sample_size"], reweighting.effective(weights)
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)
    assert run.metrics["better_on"] == 2
    assert (run.path / "plots" / "shift.png").stat().st_size > 30_000


def test_correction_lowers_the_error_on_nine_of_ten_seeds(tmp_path):
    gains = []
    for seed in range(10):
        run = dope.run(
            "tabular.covariate_shift", runs=tmp_path, seed=seed, **SHORT,
            dataset={"train": 300, "test": 500, "seed": seed},
        )  # fmt: skip
        gains.append(run.metrics["gain"])
        assert run.metrics["test_oracle_loss"] < run.metrics["test_plain_loss"]
    assert sum(gain > 0 for gain in gains) >= 9
    assert np.median(gains) > 0.4


def test_without_a_shift_nothing_is_gained(tmp_path):
    run = dope.run(
        "tabular.covariate_shift", runs=tmp_path, **SHORT,
        dataset={"shift": 0.0, "shifted_scale": 0.5},
    )  # fmt: skip
    assert abs(run.metrics["gain"]) < 0.05
    assert run.metrics["corrected_sample_size"] > 900  # of 1,000


def test_a_linear_classifier_cannot_see_another_spread():
    """Where only the spread changes, its weights are all about 1; those of squares are right."""
    data = Shifted(shift=0.0)
    plain, linear, best = (np.mean([reweighting.errors(data.again(s), degree, None)[i]
                                    for s in range(1, 11)])
                           for degree, i in ((1, 0), (1, 1), (1, 3)))  # fmt: skip
    squares = np.mean([reweighting.errors(data.again(s), 2, None)[1] for s in range(1, 11)])
    assert plain - linear < 0.15 * (plain - best)
    assert plain - squares > 0.9 * (plain - best)


@pytest.mark.parametrize("classifier", ["linear", "mlp"])
def test_other_classifiers_and_inputs(classifier, tmp_path):
    run = dope.run(
        "tabular.covariate_shift", runs=tmp_path, dataset={"inputs": 2},
        task={"classifier": classifier, "problems": 0}, optimizer=SHORT["optimizer"],
        trainer=SHORT["trainer"],
    )  # fmt: skip
    assert run.metrics["gain"] > 0.2
    assert not (run.path / "plots" / "shift.png").exists()


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"task": {"clip": 0.0}}, "task.clip"),
        ({"task": {"rate": 0.0}}, "task.rate"),
        ({"task": {"problems": -1}}, "task.problems"),
        ({"dataset": {"train": 1}}, "dataset.train"),
        ({"dataset": {"scale": 0.0}}, "dataset.scale"),
        ({"dataset": "tabular.plane"}, "shifted inputs"),
    ],
)
def test_what_cannot_be_is_refused(sections, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        dope.run("tabular.covariate_shift", runs=tmp_path, **sections)
