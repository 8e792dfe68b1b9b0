"""The recurrent layers: from scratch as fused, both as the formulas in NumPy, and their dropout.

Holds single layers and stacks of them; language models are in test_language_models.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import mx, nd, use_threads
from dope.plugins.nlp.cells import GATES, STATES, Recurrent, Scratch, fused

T, N, D, H = 9, 4, 5, 6
CELLS = ["rnn", "rnn_relu", "lstm", "gru"]
STATIC = {"static_alloc": True, "static_shape": True}


@pytest.fixture(autouse=True)
def one_thread():
    use_threads(1)
    yield
    use_threads(None)


def named(net):
    return dict(sorted(net._collect_params_with_prefix().items()))


def pair(cell, **options):
    """The fused layer and the one from scratch, with the same random parameters."""
    nets = fused(cell, H, D, **options), Scratch(cell, H, D, **options)
    rng = np.random.default_rng(3)
    for net in nets:
        net.initialize()
    assert list(named(nets[0])) == list(named(nets[1]))
    for a, b in zip(named(nets[0]).values(), named(nets[1]).values()):
        assert a.shape == b.shape
        values = nd.array(rng.uniform(-0.5, 0.5, a.shape))
        a.set_data(values)
        b.set_data(values)
    return nets


def given(cell, seed=0):
    rng = np.random.default_rng(seed)
    states = [nd.array(rng.normal(size=(1, N, H))) for _ in range(STATES.get(cell, 1))]
    return nd.array(rng.normal(size=(T, N, D))), states


def computed(net, x, states):
    """Outputs, states, and all gradients of a function of both."""
    weights = nd.array(np.random.default_rng(1).normal(size=(T, N, H)))
    for array in (x, *states):
        array.attach_grad()
    with mx.autograd.record():
        outputs, ends = net(x, states)
        total = (outputs * weights).mean() + sum(end.square().mean() for end in ends)
    total.backward()
    found = {"outputs": outputs, **{f"end {i}": end for i, end in enumerate(ends)}}
    found |= {"input's gradient": x.grad, **{f"begin {i}": s.grad for i, s in enumerate(states)}}
    found |= {name: p.grad() for name, p in named(net).items()}
    return {name: array.asnumpy() for name, array in found.items()}


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_scratch_is_fused(cell, hybrid):
    nets = pair(cell)
    x, states = given(cell)
    if hybrid:
        nets[1].length = T
        for net in nets:
            net.hybridize(**STATIC)
    one, other = (computed(net, x, states) for net in nets)
    assert len(one) == 2 + 2 * len(states) + 4
    for name, values in one.items():
        assert np.abs(values).max() > 1e-4, name
        np.testing.assert_allclose(other[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def in_numpy(cell, p, x, states):
    """The formulas, a step at a time, in float64."""
    w, u, b, c = (p[f"l0_{name}"] for name in ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias"))
    h, outputs = states[0][0], []
    memory = states[-1][0]
    for each in x:
        a, r = each @ w.T + b, h @ u.T + c
        if cell == "lstm":
            i, f, g, o = np.split(a + r, 4, axis=1)
            memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(memory)
        elif cell == "gru":
            (ar, az, an), (rr, rz, rn) = np.split(a, 3, axis=1), np.split(r, 3, axis=1)
            z = sigmoid(az + rz)
            h = (1 - z) * np.tanh(an + sigmoid(ar + rr) * rn) + z * h
        else:
            h = np.maximum(a + r, 0) if cell == "rnn_relu" else np.tanh(a + r)
        outputs.append(h)
    return np.stack(outputs), [h, memory][: len(states)]


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("cell", CELLS)
def test_layers_are_the_formulas(cell, kind):
    net = pair(cell)[kind]
    x, states = given(cell)
    outputs, ends = net(x, states)
    p = {name: each.data().asnumpy().astype(float) for name, each in named(net).items()}
    wanted = in_numpy(cell, p, x.asnumpy().astype(float), [s.asnumpy() for s in states])
    np.testing.assert_allclose(outputs.asnumpy(), wanted[0], rtol=1e-4, atol=1e-5)
    for end, each in zip(ends, wanted[1]):
        np.testing.assert_allclose(end.asnumpy()[0], each, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("cell", CELLS)
def test_a_text_in_pieces_is_the_whole(cell, kind):
    net = pair(cell)[kind]
    x, states = given(cell)
    whole, ends = net(x, states)
    whole, ends = whole.asnumpy(), [end.asnumpy() for end in ends]
    parts = []
    for start, stop in ((0, 4), (4, 8), (8, 9)):
        part, states = net(x[start:stop], states)
        parts.append(part.asnumpy())
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-6)
    for end, state in zip(ends, states):
        np.testing.assert_allclose(state.asnumpy(), end, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [0, 1])
def test_weights_drop_in_training_alone_and_once_a_batch(kind):
    dropped, plain = pair("rnn", weight_drop=0.5)[kind], pair("rnn")[kind]
    x, states = given("rnn")
    np.testing.assert_array_equal(dropped(x, states)[0].asnumpy(), plain(x, states)[0].asnumpy())
    for name in ("l0_i2h_weight", "l0_i2h_bias", "l0_h2h_bias"):
        named(dropped)[name].set_data(nd.zeros(named(dropped)[name].shape))
    named(dropped)["l0_h2h_weight"].set_data(nd.ones((H, H)) * 0.05)
    with mx.autograd.train_mode():
        outputs = dropped(nd.zeros((T, 1, D)), [nd.ones((1, 1, H))])[0].asnumpy()[:, 0]
    before = np.ones(H)
    kept = np.arctanh(outputs[0]) / 0.1  # of weights doubled, how many of each row are left
    np.testing.assert_allclose(kept, kept.round(), atol=1e-4)
    assert 0 < kept.sum() < H * H
    solved = np.linalg.lstsq(
        np.concatenate([before[None], outputs[:-1]]), np.arctanh(outputs), rcond=None
    )[0]  # one matrix explains all steps
    np.testing.assert_allclose(
        np.concatenate([before[None], outputs[:-1]]) @ solved, np.arctanh(outputs), atol=1e-5
    )


@pytest.mark.parametrize("impl", ["scratch", "gluon"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_stacks_begin_with_zeros_and_hand_on_all_states(cell, impl):
    net = Recurrent(cell, [D, 7, 3], impl)
    net.initialize()
    x = nd.random.normal(shape=(T, N, D))
    states = net.begin(nd.zeros((T, N)))
    number = STATES.get(cell, 1)
    assert [s.shape for s in states] == [(1, N, 7)] * number + [(1, N, 3)] * number
    assert not any(s.asnumpy().any() for s in states)
    outputs, ends = net(x, states)
    assert outputs.shape == (T, N, 3) and [e.shape for e in ends] == [s.shape for s in states]
    np.testing.assert_allclose(ends[number].asnumpy()[0], outputs[-1].asnumpy(), rtol=1e-6)
    first, _ = net.layers[0](x, states[:number])
    again, _ = net.layers[1](first, states[number:])
    np.testing.assert_allclose(outputs.asnumpy(), again.asnumpy(), rtol=1e-6)


def test_stacks_drop_the_same_units_at_all_times_if_locked():
    for locked in (False, True):
        net = Recurrent("rnn", [D, 50, 3], "gluon", dropout=0.5, locked=locked)
        with mx.autograd.train_mode():
            dropped = net.between(nd.ones((T, N, 50))).asnumpy()
        assert set(np.unique(dropped)) == {0.0, 2.0}
        assert (dropped == dropped[:1]).all() == locked


def test_forget_gates_begin_open():
    for net in (fused("lstm", H, D), Scratch("lstm", H, D)):
        net.initialize()
        bias = named(net)["l0_i2h_bias"].data().asnumpy().reshape(GATES["lstm"], H)
        np.testing.assert_array_equal(bias, np.eye(4)[1][:, None] * np.ones(H))
