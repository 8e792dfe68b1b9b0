"""Losses: values and gradients are PyTorch's, one number for each example, finite at extremes.

Holds the formulas' tests; that engines refuse a mean is tested with the engine.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from dope.core.backend import mx, nd, use_threads
from dope.core.configuring.signature import signature
from dope.core.errors import ConfigError
from dope.plugins.losses import losses, plugin
from dope.plugins.losses.losses import KL, L1, L2, Hinge, Huber, Logistic, SoftmaxCrossEntropy


@pytest.fixture(autouse=True)
def one_thread():
    """Arrays this small are quicker on one thread, above all on a busy machine."""
    use_threads(1)
    yield
    use_threads(None)


Z = [[0.5, -1.25, 2.0], [3.0, 0.0, -2.5], [-0.75, 0.25, 0.1], [0.0, 0.0, 0.0]]
C = [2, 1, 0, 1]
Y = [[0.5, -1.25], [3.0, 0.0], [-0.75, 0.25], [0.0, 0.1]]
T = [[0.0, 1.0], [1.0, 0.5], [-1.0, 0.25], [2.0, 0.0]]
B = [[0.0, 1.0], [1.0, 0.25], [1.0, 0.0], [1.0, 0.0]]
S = [[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]]
P = [[0.2, 0.5, 0.3], [0.0, 0.9, 0.1], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]]

# PyTorch 2.13, float64, with z, c, y ... the arrays above as tensors, F = torch.nn.functional:
#   x.grad = None; loss.sum().backward(); loss.tolist(), x.grad.flatten().tolist(), to 8 digits,
# with N = {"reduction": "none"} and the losses that stand above each case.
GOLDEN = {
    # F.cross_entropy(z, c, **N)
    "cross-entropy": (
        *(SoftmaxCrossEntropy(), Z, C),
        [0.23262198, 3.05247275, 1.80136794, 1.09861229],
        [
            *(0.17682018, 0.03072674, -0.20754692, 0.94888018, -0.95275804, 0.00387786),
            *(-0.83492708, 0.44871473, 0.38621235, 0.33333333, -0.66666667, 0.33333333),
        ],
    ),
    # F.cross_entropy(z, c, label_smoothing=0.1, **N)
    "smoothed": (
        *(SoftmaxCrossEntropy(label_smoothing=0.1), Z, C),
        [0.39095532, 3.03580608, 1.73970127, 1.09861229],
        [
            *(0.14348685, -0.00260659, -0.14088026, 0.91554685, -0.88609137, -0.02945548),
            *(-0.76826041, 0.4153814, 0.35287901, 0.3, -0.6, 0.3),
        ],
    ),
    # F.l1_loss(y, t, **N).mean(1)
    "l1": (
        *(L1(), Y, T),
        [1.375, 1.25, 0.125, 1.05],
        [0.5, -0.5, 0.5, -0.5, 0.5, 0.0, -0.5, 0.5],
    ),
    # (F.mse_loss(y, t, **N) / 2).mean(1)
    "l2": (
        *(L2(), Y, T),
        [1.328125, 1.0625, 0.015625, 1.0025],
        [0.25, -1.125, 1.0, -0.25, 0.125, 0.0, -1.0, 0.05],
    ),
    # F.smooth_l1_loss(y, t, beta=1.0, **N).mean(1)
    "huber": (
        *(Huber(), Y, T),
        [0.9375, 0.8125, 0.015625, 0.7525],
        [0.25, -0.5, 0.5, -0.25, 0.125, 0.0, -0.5, 0.05],
    ),
    # F.smooth_l1_loss(y, t, beta=0.25, **N).mean(1)
    "huber, narrow": (
        *(Huber(rho=0.25), Y, T),
        [1.25, 1.125, 0.0625, 0.9475],
        [0.5, -0.5, 0.5, -0.5, 0.5, 0.0, -0.5, 0.2],
    ),
    # torch.clamp(1 - s * y, min=0).mean(1)
    "hinge": (
        *(Hinge(), Y, S),
        [1.375, 0.5, 0.75, 0.95],
        [-0.5, -0.5, 0.0, 0.5, 0.5, 0.5, 0.5, -0.5],
    ),
    # torch.clamp(0.5 - s * y, min=0).square().mean(1)
    "hinge, squared": (
        *(Hinge(margin=0.5, squared=True), Y, S),
        [1.53125, 0.125, 0.28125, 0.205],
        [0.0, -1.75, 0.0, 0.5, 0.0, 0.75, 0.5, -0.4],
    ),
    # F.binary_cross_entropy_with_logits(y, b, **N).mean(1)
    "logistic": (
        *(Logistic(), Y, B),
        [1.23800303, 0.37086727, 0.98140521, 0.71877192],
        [0.31122967, -0.38864993, -0.02371294, 0.125, -0.33958935, 0.28108825, -0.25, 0.26248959],
    ),
    # F.kl_div(F.log_softmax(z, 1), p, **N).sum(1)
    "kl": (
        *(KL(), Z, P),
        [1.12796897, 2.97738977, 1.80136794, 0.05889152],
        [
            *(-0.02317982, -0.46927326, 0.49245308, 0.94888018, -0.85275804, -0.09612214),
            *(-0.83492708, 0.44871473, 0.38621235, 0.08333333, 0.08333333, -0.16666667),
        ],
    ),
    # F.kl_div(z, p, **N).sum(1)
    "kl of log-probabilities": (
        *(KL(output="log_probabilities"), Z, P),
        [-1.10465301, -0.07508297, 0.75, -1.03972077],
        [-0.2, -0.5, -0.3, 0.0, -0.9, -0.1, -1.0, 0.0, 0.0, -0.25, -0.25, -0.5],
    ),
}
FLOAT32 = 5e-6  # what oneDNN keeps of log_softmax and softplus
INTEGERS = ("cross-entropy", "smoothed")


def value_and_gradient(loss, output, target):
    output = output.copy()
    output.attach_grad()
    with mx.autograd.record():
        vector = loss(output, target)
    vector.backward()
    return vector.asnumpy(), output.grad.asnumpy()


def assert_golden(case, output, target, dtype="float32"):
    loss, _, _, values, gradients = GOLDEN[case]
    vector, gradient = value_and_gradient(loss, output, target)
    assert vector.shape == (4,) and vector.dtype == np.dtype(dtype)
    tolerance = FLOAT32 if dtype == "float32" else 1e-8
    np.testing.assert_allclose(vector, values, rtol=0, atol=tolerance)
    np.testing.assert_allclose(gradient.ravel(), gradients, rtol=0, atol=tolerance)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("case", GOLDEN)
def test_values_and_gradients_are_pytorch_s(case, hybrid):
    loss, output, target = GOLDEN[case][:3]
    loss.hybridize(active=hybrid, static_alloc=True, static_shape=True)
    for _ in range(2):
        assert_golden(case, nd.array(output), nd.array(target))


@pytest.mark.parametrize("case", GOLDEN)
def test_float64(case):
    loss, output, target = GOLDEN[case][:3]
    loss.hybridize(active=False)
    pair = nd.array(output, dtype="float64"), nd.array(target, dtype="float64")
    assert_golden(case, *pair, dtype="float64")


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
@pytest.mark.parametrize("case", INTEGERS)
@pytest.mark.parametrize("hybrid", [False, True])
def test_classes_of_any_type(case, dtype, hybrid):
    GOLDEN[case][0].hybridize(active=hybrid, static_alloc=True, static_shape=True)
    assert_golden(case, nd.array(Z), nd.array(C, dtype=dtype))


@pytest.mark.parametrize("case", GOLDEN)
def test_traced_with_symbols(case):
    loss, output, target = GOLDEN[case][:3]
    graph = loss(mx.sym.var("output"), mx.sym.var("target"))
    shapes = {"output": np.shape(output), "target": np.shape(target)}
    assert graph.infer_shape(**shapes)[1] == [(4,)]
    (vector,) = graph.eval(ctx=mx.cpu(0), output=nd.array(output), target=nd.array(target))
    np.testing.assert_allclose(vector.asnumpy(), GOLDEN[case][3], rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("case", GOLDEN)
def test_one_number_for_each_example_of_any_shape(case, hybrid):
    """Four examples of two places each: the mean of what each place would give alone."""
    loss, output, target, values, _ = GOLDEN[case]
    loss.hybridize(active=hybrid, static_alloc=True, static_shape=True)
    x, t = np.array(output), np.array(target)
    twice = nd.array(np.stack([x, x[::-1]], axis=1)), nd.array(np.stack([t, t[::-1]], axis=1))
    expected = (np.array(values) + values[::-1]) / 2
    np.testing.assert_allclose(loss(*twice).asnumpy(), expected, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("loss", [L1(), L2(), Huber(), Hinge(), Logistic()])
@pytest.mark.parametrize("hybrid", [False, True])
def test_a_column_goes_with_a_vector(loss, hybrid):
    loss.hybridize(active=hybrid, static_alloc=True, static_shape=True)
    y, t = nd.array([0.3, -2.0, 4.0]), nd.array([1.0, -1.0, -1.0])
    alone = loss(y, t).asnumpy()
    assert alone.shape == (3,)
    np.testing.assert_array_equal(loss(y.expand_dims(1), t).asnumpy(), alone)
    with pytest.raises(mx.MXNetError):  # never an outer product
        loss(y, nd.ones((2,))).wait_to_read()


@pytest.mark.parametrize(
    ("loss", "output", "target", "value", "gradient"),
    [
        (SoftmaxCrossEntropy(), [[1e4, -1e4], [1e4, -1e4]], [0, 1], [0, 2e4], [[0, 0], [1, -1]]),
        (SoftmaxCrossEntropy(label_smoothing=0.2), [[1e4, -1e4]], [0], [2e3], [[0.1, -0.1]]),
        (Logistic(), [1e4, 1e4, -1e4, -1e4], [1, 0, 1, 0], [0, 1e4, 1e4, 0], [0, 1, -1, 0]),
        (Logistic(), [0.0, 0.0], [1, 0], [math.log(2)] * 2, [-0.5, 0.5]),
        (KL(), [[1e4, -1e4]], [[0.5, 0.5]], [1e4 - math.log(2)], [[0.5, -0.5]]),
        (KL(), [[1e4, -1e4]], [[1.0, 0.0]], [0], [[0, 0]]),
        (L2(), [1e4], [-1e4], [2e8], [2e4]),
        (Huber(rho=0.01), [1e4], [-1e4], [2e4], [1]),
        (Hinge(), [1e4, -1e4], [1, 1], [0, 1e4 + 1], [0, -1]),
    ],
)
def test_extremes(loss, output, target, value, gradient):
    vector, slope = value_and_gradient(loss, nd.array(output), nd.array(target))
    np.testing.assert_allclose(vector, value, rtol=1e-6, atol=FLOAT32)
    np.testing.assert_allclose(slope, gradient, rtol=1e-6, atol=FLOAT32)


def test_a_perceptron_leaves_zero():
    """Rosenblatt's rule: a score of 0 is a mistake, w += t x."""
    vector, slope = value_and_gradient(Hinge(margin=0.0), nd.zeros((2,)), nd.array([1, -1]))
    np.testing.assert_array_equal(vector, [0, 0])
    np.testing.assert_array_equal(slope, [-1, 1])


def test_huber_is_l2_within_and_continuous():
    e = np.array([-3, -2.0001, -1.9999, -0.5, 0, 0.5, 1.9999, 2.0001, 3])
    vector = Huber(rho=2.0)(nd.array(e), nd.zeros(9)).asnumpy()
    expected = np.where(np.abs(e) < 2, e**2 / 4, np.abs(e) - 1)
    np.testing.assert_allclose(vector, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (SoftmaxCrossEntropy, {"label_smoothing": 1.0}, "loss.label_smoothing=1.0 is out of range"),
        (SoftmaxCrossEntropy, {"label_smoothing": -0.1}, "out of range.*at least 0"),
        (Huber, {"rho": 0.0}, "loss.rho=0.0 is out of range"),
        (Huber, {"rho": math.nan}, "loss.rho=nan is out of range"),
    ],
)
def test_what_cannot_be_is_refused(make, options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)


def test_every_loss_is_registered_and_explained():
    found = {}
    plugin.register_losses(lambda name, target, summary: found.update({name: target}))
    classes = {
        c.__name__
        for c in vars(losses).values()
        if getattr(c, "__module__", "") == losses.__name__ and isinstance(c, type)
    }
    assert {target.partition(":")[2] for target in found.values()} == classes
    assert sorted(found) == [
        f"losses.{name}"
        for name in ("hinge", "huber", "kl", "l1", "l2", "logistic", "softmax_cross_entropy")
    ]
    for target in found.values():
        described = signature(target)
        assert described.doc_summary
        assert all(option.description for option in described.options.values())
