"""Paths on a quadratic: equal to the iterates written out in NumPy, and what momentum is good for.

Holds no contract checks; the iterates are those of the recursions, not of dope.
"""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from scipy.optimize import approx_fprime

import dope
from dope.core.errors import ConfigError
from dope.plugins.tabular import paths
from dope.plugins.tabular.quadratic import arrival
from dope.plugins.tabular.valley import Valley

TILTED = {"curvatures": [0.1, 2.0], "angle": 30.0, "minimum": [4.0, 1.5]}


def iterates(hessian, minimum, rate, momentum, steps):
    """v = momentum v + rate g, w = w - v, from the origin: (steps + 1, 2)."""
    w, v, path = np.zeros(2), np.zeros(2), [np.zeros(2)]
    for _ in range(steps):
        v = momentum * v + rate * hessian @ (w - minimum)
        w = w - v
        path.append(w)
    return np.array(path)


def descended(tmp_path, *settings, **sections):
    run = dope.run("tabular.quadratic", *settings, runs=tmp_path, **sections)
    return run, paths.read(run.path)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.8])
def test_the_path_is_that_of_the_recursion(momentum, tmp_path):
    _, found = descended(
        tmp_path,
        dataset=TILTED,
        optimizer={"learning_rate": 0.8, "momentum": momentum},
        trainer={"epochs": 40},
    )
    turn = np.radians(30)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    right = iterates(axes @ np.diag([0.1, 2.0]) @ axes.T, np.array([4.0, 1.5]), 0.8, momentum, 40)
    np.testing.assert_allclose(found, right, rtol=1e-6, atol=2e-6)


def test_the_closed_form_of_gradient_descent(tmp_path):
    _, found = descended(tmp_path, dataset={"curvatures": [0.5, 1.5]}, trainer={"epochs": 25})
    shrunk = (1 - 0.8 * np.array([0.5, 1.5])) ** np.arange(26)[:, None]
    np.testing.assert_allclose(found, np.array([4.0, 1.5]) * (1 - shrunk), atol=2e-6)


def test_the_loss_of_the_points_is_the_quadratic():
    data = Valley(train=50, curvatures=(0.3, 3.0), angle=20.0, minimum=(1.0, -2.0), noise=0.7)
    x, y = (each.astype(float) for each in data.split("train"))

    def mean_loss(w):
        return np.mean((x @ w - y) ** 2) / 2

    assert mean_loss(data.minimum) == pytest.approx(0.7**2 / 2, rel=1e-6)
    np.testing.assert_allclose(approx_fprime(data.minimum, mean_loss, 1e-6), 0, atol=1e-5)
    rng = np.random.default_rng(0)
    for w in rng.normal(size=(5, 2)) * 3:
        gap = w - data.minimum
        expected = gap @ data.hessian @ gap / 2 + 0.7**2 / 2
        assert mean_loss(w) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(np.linalg.eigvalsh(data.hessian), [0.3, 3.0])
    axis = np.array([np.cos(np.radians(20)), np.sin(np.radians(20))])
    np.testing.assert_allclose(data.hessian @ axis, 0.3 * axis, atol=1e-12)


def test_momentum_arrives_earlier_where_the_valley_is_narrow(tmp_path):
    """With the best rates of either: (kappa - 1)/(kappa + 1) against its root (Polyak 1964)."""
    low, high = 0.1, 2.0
    plain = {"learning_rate": 2 / (low + high)}
    root = (np.sqrt(high) - np.sqrt(low)) / (np.sqrt(high) + np.sqrt(low))
    heavy = {
        "learning_rate": float(4 / (np.sqrt(low) + np.sqrt(high)) ** 2),
        "momentum": float(root**2),
    }
    steps = {}
    for name, optimizer in (("plain", plain), ("heavy", heavy)):
        run, found = descended(tmp_path, optimizer=optimizer, trainer={"epochs": 80})
        steps[name] = run.metrics["steps_to_minimum"]
        right = iterates(
            np.diag([low, high]), np.array([4, 1.5]), optimizer["learning_rate"],
            optimizer.get("momentum", 0.0), 80,
        )  # fmt: skip
        assert steps[name] == arrival(right, np.array([4, 1.5]), 0.05)
        np.testing.assert_allclose(found, right, atol=2e-5)
    assert steps["heavy"] * 2 < steps["plain"]
    # and where the valley is round, momentum only delays
    round_ = [
        descended(
            tmp_path,
            dataset={"curvatures": [1.0, 1.0]},
            optimizer={"learning_rate": 0.5, "momentum": m},
            trainer={"epochs": 40},
        )[0].metrics["steps_to_minimum"]
        for m in (0.0, 0.5)
    ]
    assert round_[0] < round_[1]


def test_a_path_does_not_depend_on_what_comes_later(tmp_path):
    runs = [descended(tmp_path, trainer={"epochs": epochs, "batch_size": 50}) for epochs in (6, 3)]
    (whole, path), (_, first) = runs
    assert len(path) == 6 * 4 + 1 and len(first) == 3 * 4 + 1
    np.testing.assert_array_equal(first, path[:13])
    state = json.loads((whole.path / "result.json").read_text(encoding="utf-8"))["metrics"]
    assert state["minimum"] == [4.0, 1.5] and state["condition"] == pytest.approx(20)


def test_arrival():
    path = np.array([[4.0, 0], [0.1, 0], [1.0, 0], [0.2, 0], [0.1, 0]])
    assert arrival(path, np.zeros(2), 0.05) == 3
    assert arrival(path[:3], np.zeros(2), 0.05) is None
    assert arrival(path, np.zeros(2), 0.01) is None


def test_runs_are_drawn_together(tmp_path):
    runs = [
        descended(tmp_path, optimizer={"momentum": m}, trainer={"epochs": 5})[0] for m in (0.0, 0.5)
    ]
    other, _ = descended(tmp_path, dataset={"angle": 45.0}, trainer={"epochs": 5})
    named = [(run.path.name, run.path) for run in (*runs, other)]
    made = paths.overlay(tmp_path / "paths.png", [*named, ("gone", tmp_path / "gone")])
    assert made is not None and made.stat().st_size > 20_000
    assert paths.overlay(tmp_path / "none.png", [("gone", tmp_path / "gone")]) is None
    with (runs[0].path / "path.csv").open(newline="") as handle:
        rows = list(csv.reader(handle))
    assert rows[0] == ["step", "weight_1", "weight_2"] and len(rows) == 7


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"dataset": {"curvatures": [0.0, 1.0]}}, "dataset.curvatures"),
        ({"dataset": {"train": 4}}, "dataset.train"),
        ({"dataset": {"minimum": [0.0, 0.0]}}, "dataset.minimum"),
        ({"dataset": {"noise": -1.0}}, "dataset.noise"),
        ({"task": {"within": 1.0}}, "task.within"),
        ({"model": "tabular.mlp"}, "two weights"),
        ({"dataset": "tabular.plane"}, "valley"),
    ],
)
def test_what_cannot_be_is_refused(sections, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        dope.run("tabular.quadratic", runs=tmp_path, **sections)
