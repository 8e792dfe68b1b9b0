"""Linear regression: the truth is recovered, scratch and Gluon agree, options are checked.

Holds no contract checks; golden numbers are NumPy's least squares.
"""

from __future__ import annotations

import numpy as np
import pytest

import dope
from dope.core.backend import mx, nd
from dope.core.errors import ConfigError
from dope.core.task import parameters
from dope.plugins.tabular.dense import MLP, Linear
from dope.plugins.tabular.plane import Plane


@pytest.mark.parametrize("profile", ["quick", "book"])
@pytest.mark.parametrize("impl", ["gluon", "scratch"])
def test_recovers_the_plane(profile, impl, tmp_path):
    run = dope.run(
        "tabular.linear_regression", profile=profile, runs=tmp_path, model={"impl": impl}
    )
    found = [*run.metrics["weights"], run.metrics["bias"]]
    np.testing.assert_allclose(found, [2, -3.4, 4.2], atol=1e-2)
    assert run.metrics["coefficient_error"] == pytest.approx(
        np.abs(np.array(found) - [2, -3.4, 4.2]).max()
    )
    assert (run.path / "plots" / "plane.png").stat().st_size > 10_000


def test_reaches_least_squares(tmp_path):
    data = Plane(train=40, test=7, weights=(1.0, 0.5, -2.0), noise=0.3, seed=3)
    x, y = data.split("train")
    best = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    run = dope.run(
        "tabular.linear_regression",
        runs=tmp_path,
        dataset={"train": 40, "test": 7, "weights": [1, 0.5, -2], "noise": 0.3, "seed": 3},
        optimizer={"learning_rate": 0.3},
        trainer={"batch_size": 40, "epochs": 150},
    )
    found = [*run.metrics["weights"], run.metrics["bias"]]
    np.testing.assert_allclose(found, best, atol=1e-4)
    rows = run.predict()["rows"]
    held, values = data.split("test")
    np.testing.assert_allclose([row["is"] for row in rows], values, rtol=1e-6)
    np.testing.assert_allclose(
        [row["predicted"] for row in rows], held @ best[:3] + best[3], atol=1e-3
    )


def test_scratch_and_gluon_give_the_same_outputs_and_gradients():
    data = Plane(train=6, weights=(1.0, 2.0, 3.0))
    x = nd.array(data.split("train")[0])
    seen = {}
    for impl in ("gluon", "scratch"):
        net = Linear(data, impl=impl)
        net.initialize()
        for _, parameter in sorted(parameters(net).items()):
            size = int(np.prod(parameter.shape))
            parameter.set_data(nd.arange(1, size + 1).reshape(parameter.shape))
        with mx.autograd.record():
            out = net(x)
            loss = (out**2).sum()
        loss.backward()
        grads = {name: p.grad().asnumpy() for name, p in parameters(net).items()}
        seen[impl] = (out.asnumpy(), grads)
    np.testing.assert_allclose(seen["gluon"][0], seen["scratch"][0], rtol=1e-6)
    assert set(seen["gluon"][1]) == set(seen["scratch"][1]) == {"output.weight", "output.bias"}
    for name in seen["gluon"][1]:
        np.testing.assert_allclose(seen["gluon"][1][name], seen["scratch"][1][name], rtol=1e-5)


def test_plane_has_its_noise_and_nothing_else():
    x, y = Plane(train=20000, noise=0.5, seed=1).split("train")
    rest = y - (x @ [2, -3.4] + 4.2)
    assert rest.std() == pytest.approx(0.5, rel=0.03)
    assert Plane(test=0).split("test") is None


@pytest.mark.parametrize(
    "options, named",
    [({"train": 0}, "train"), ({"noise": -1.0}, "noise"), ({"weights": ()}, "weights")],
)
def test_options_out_of_range(options, named):
    with pytest.raises(ConfigError, match=f"dataset.{named}"):
        Plane(**options)


def test_no_held_out_part_is_said(tmp_path):
    run = dope.run("tabular.linear_regression", profile="tiny", runs=tmp_path, dataset={"test": 0})
    with pytest.raises(ConfigError, match="held-out"):
        run.predict()


def test_mlp_refuses_what_cannot_be():
    with pytest.raises(ConfigError, match="hidden"):
        MLP(Plane(), hidden=(0,))
    with pytest.raises(ConfigError, match="dropout"):
        MLP(Plane(), dropout=1.0)
