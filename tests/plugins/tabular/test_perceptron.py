"""The perceptron: the engine's steps are Rosenblatt's, and mistakes stay within the bound.

Holds no contract checks; the algorithm is written out here once more, one point at a time.
"""

from __future__ import annotations

import numpy as np
import pytest

import dope
from dope.core.errors import ConfigError
from dope.plugins.tabular.margin import Margin
from dope.plugins.tabular.perceptron import Perceptron, bound, mistakes


def rosenblatt(x, y, passes):
    """Weights, bias and mistakes, one point after the other."""
    w, b, made = np.zeros(x.shape[1]), 0.0, 0
    for _ in range(passes):
        for point, sign in zip(x.astype(float), y):
            if sign * (w @ point + b) <= 0:
                w, b, made = w + sign * point, b + sign, made + 1
    return w, b, made


@pytest.mark.parametrize("margin", [0.05, 0.2, 0.4])
def test_never_exceeds_its_bound(margin):
    for seed in range(20):
        data = Margin(train=300, margin=margin, seed=seed)
        x, y = data.split("train")
        made = mistakes(x, y)
        assert 1 <= made <= bound(x, margin)
        assert made == rosenblatt(x, y, 1000 if made > 100 else 100)[2]


def test_the_data_keep_their_margin():
    data = Margin(train=2000, inputs=5, margin=0.3, seed=4)
    x, y = data.split("train")
    assert (y * (x @ data.weights + data.bias)).min() >= 0.3 - 1e-6
    assert np.linalg.norm(x, axis=1).max() < 3
    assert np.linalg.norm(data.weights) == pytest.approx(1) and abs(data.bias) <= 1
    assert set(y) == {-1, 1}


def test_the_run_counts_and_separates(tmp_path):
    run = dope.run("tabular.perceptron", runs=tmp_path, dataset={"margin": 0.05, "seed": 3})
    data = Margin(margin=0.05, seed=3)
    assert run.metrics["bound"] == pytest.approx(bound(data.split("train")[0], 0.05))
    assert 1 <= run.metrics["total_mistakes"] <= run.metrics["bound"]
    per_epoch = [row["mistakes"] * 1000 for row in run.directory.metrics()]
    assert run.metrics["total_mistakes"] == pytest.approx(sum(per_epoch))
    rows = run.predict()["rows"]
    assert np.mean([row["is"] == row["class"] for row in rows]) > 0.97
    assert (run.path / "plots" / "perceptron.png").stat().st_size > 10_000


def test_a_step_of_the_engine_is_rosenblatts():
    from dope.core.backend import mx, nd
    from dope.core.engine import Engine
    from dope.core.task import Group, parameters
    from dope.plugins.losses.losses import Hinge
    from dope.plugins.tabular.dense import Linear

    data = Margin(train=200, margin=0.05, seed=3)
    x, y = data.split("train")
    task = Perceptron()
    task.criterion = Hinge(margin=0.0)
    net = Linear(data, init="zero")
    engine = Engine(net, {"main": Group([net], "sgd", {"learning_rate": 1.0})}, [mx.cpu()])
    for i in range(len(x)):
        task.step(engine, (nd.array(x[i : i + 1]), nd.array(y[i : i + 1])))
    w, b, made = rosenblatt(x, y, 1)
    found = {name: p.data().asnumpy() for name, p in parameters(net).items()}
    np.testing.assert_allclose(found["output.weight"][0], w, atol=1e-4)
    assert found["output.bias"][0] == b
    assert task.state()["mistakes"][0] == made > 3


def test_no_bound_is_claimed_where_it_does_not_hold(tmp_path):
    run = dope.run("tabular.perceptron", profile="tiny", runs=tmp_path)
    assert "bound" not in run.metrics and "total_mistakes" in run.metrics


@pytest.mark.parametrize(
    "options, named",
    [({"margin": 0.0}, "margin"), ({"train": 0}, "train"), ({"inputs": 16}, "radius")],
)
def test_options_out_of_range(options, named):
    with pytest.raises(ConfigError, match=f"dataset.{named}"):
        Margin(**options)
    with pytest.raises(ConfigError, match=r"task\.margins"):
        Perceptron(margins=())
