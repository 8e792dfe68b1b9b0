"""Layers with channels filled up give what Gluon's plain layers give: outputs, gradients, updates.

Holds no speed; that is measured by the benchmarks.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import mx, nd, use_threads
from dope.core.task import parameters
from dope.plugins.vision import blocked

nn = mx.gluon.nn
CONTEXTS = [mx.cpu(0), mx.cpu(1)]


@pytest.fixture(autouse=True)
def one_thread():
    use_threads(1)
    mx.random.seed(3)
    yield
    use_threads(None)


def pair(channels, colours, kernels, pool="max", padding=0):
    """The blocked layers, and Gluon's with relu before pooling, started from the same values."""
    ours, plain = nn.HybridSequential(), nn.HybridSequential()
    pooling = nn.MaxPool2D if pool == "max" else nn.AvgPool2D
    for i, (filters, kernel) in enumerate(zip(channels, kernels)):
        given = {"in_channels": colours, "padding": padding}
        keep = filters if i == len(channels) - 1 else None
        ours.add(blocked.Conv2D(filters, kernel, fill_inputs=i > 0, **given))
        ours.add(blocked.ReluPool2D(pool, keep))
        plain.add(nn.Conv2D(filters, kernel, activation="relu", **given), pooling(2, 2))
        colours = filters
    rng = np.random.default_rng(7)
    for net in (ours, plain):
        net.initialize(ctx=CONTEXTS)
    for ours_, plain_ in zip(parameters(ours).values(), parameters(plain).values()):
        value = nd.array(rng.normal(0, 0.2, ours_.shape))
        ours_.set_data(value)
        plain_.set_data(value)
    return ours, plain


def results(net, x, r):
    """Outputs, and gradients of their product with r summed, of x and all parameters."""
    x = x.copy()
    x.attach_grad()
    with mx.autograd.record():
        y = net(x)
        total = (y * r).sum()
    total.backward()
    gradients = {n: p.grad(x.context).asnumpy() for n, p in parameters(net).items()}
    return {"output": y.asnumpy(), "x": x.grad.asnumpy(), **gradients}


def assert_same(ours, plain):
    assert ours.keys() == plain.keys()
    for name, expected in plain.items():
        unit = max(1.0, np.abs(expected).max())
        assert ours[name].shape == expected.shape
        np.testing.assert_allclose(ours[name] / unit, expected / unit, atol=1e-5, err_msg=name)


CASES = {
    "lenet": ((20, 50), 1, (5, 5), "max", 0),
    "average": ((20, 50), 1, (5, 5), "avg", 0),
    "colours": ((6, 16), 3, (3, 5), "max", 2),
    "full": ((16, 32), 1, (5, 5), "max", 0),
    "three": ((5, 17, 33), 4, (3, 3, 3), "max", 1),
    "one": ((1,), 1, (1,), "avg", 0),
}


def data(net, colours):
    rng = np.random.default_rng(1)
    pixels = rng.uniform(-1, 1, (5, colours, 28, 27))
    pixels[:, :, :5] = 0  # blank margins, as digits have: windows of equal values
    x = nd.array(pixels)
    return x, nd.array(rng.normal(size=net(x).shape))


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_the_plain_layers(case, hybrid):
    nets = pair(*CASES[case])
    x, r = data(nets[1], CASES[case][1])
    for net in nets:
        net.hybridize(hybrid, static_alloc=hybrid, static_shape=hybrid)
    for context in CONTEXTS:
        for size in (5, 2, 5):  # a smaller last batch, and back
            on = [each[:size].as_in_context(context) for each in (x, r)]
            assert_same(*[results(net, *on) for net in nets])
            assert_same(*[{"output": net(on[0]).asnumpy()} for net in nets])


def test_names_shapes_and_first_values_are_gluon_s(tmp_path):
    init = mx.init.Xavier(magnitude=2.24)
    given = {"in_channels": 20, "weight_initializer": init}
    nets = blocked.Conv2D(50, 5, fill_inputs=True, **given), nn.Conv2D(50, 5, **given)
    found = []
    for net in nets:
        mx.random.seed(4)
        net.initialize(ctx=CONTEXTS)
        found.append({n: p.data(mx.cpu(1)).asnumpy() for n, p in parameters(net).items()})
    assert [list(each) for each in found] == [["weight", "bias"]] * 2
    for name, shape in (("weight", (50, 20, 5, 5)), ("bias", (50,))):
        assert found[0][name].shape == shape
        np.testing.assert_array_equal(found[0][name], found[1][name])
    nets[1].weight.set_data(nd.ones((50, 20, 5, 5)))
    nets[1].save_parameters(str(tmp_path / "plain.params"))
    nets[0].load_parameters(str(tmp_path / "plain.params"))
    assert nets[0].weight.data(mx.cpu(0)).asnumpy().min() == 1


def test_channels_added_are_zero_until_cut_off():
    ours, _ = pair((20, 50), 1, (5, 5))
    x = nd.array(np.random.default_rng(1).normal(size=(2, 1, 28, 28)))
    shapes = []
    for layer in ours:
        x = layer(x)
        shapes.append(x.shape)
        true = 20 if len(shapes) < 3 else 50
        assert np.abs(x.asnumpy()[:, true - 1]).max() > 0
        assert not x.asnumpy()[:, true:].any()
    assert shapes == [(2, 32, 24, 24), (2, 32, 12, 12), (2, 64, 8, 8), (2, 50, 4, 4)]


def test_gradients_add_up():
    nets = pair(*CASES["lenet"])
    x, r = data(nets[1], 1)
    for net in nets:
        net.hybridize(static_alloc=True, static_shape=True)
        net.collect_params().setattr("grad_req", "add")
    once = results(nets[1], x, r)
    results(nets[0], x, r)
    twice = results(nets[0], x, r)
    for name in parameters(nets[0]):
        unit = np.abs(once[name]).max()
        np.testing.assert_allclose(twice[name] / unit, 2 * once[name] / unit, atol=2e-5)


def test_traced_and_exported_with_the_true_shapes(tmp_path):
    ours, plain = pair(*CASES["lenet"])
    x, _ = data(plain, 1)
    symbol = ours(mx.sym.var("data"))
    arguments, outputs, _ = symbol.infer_shape(data=x.shape)
    shapes = dict(zip(symbol.list_arguments(), arguments))
    assert outputs == [plain(x).shape]
    assert [shapes[p.name] for p in parameters(ours).values()] == [
        p.shape for p in parameters(plain).values()
    ]
    ours.hybridize()
    ours(x).wait_to_read()
    ours.export(str(tmp_path / "net"))
    loaded = mx.gluon.SymbolBlock.imports(
        str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
    )
    np.testing.assert_allclose(loaded(x).asnumpy(), plain(x).asnumpy(), atol=1e-5)
