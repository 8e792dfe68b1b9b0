"""The image classifiers: scratch equals Gluon, sizes are the book's, wrong options are refused.

Holds no learning; what a run reaches is tested with the tasks.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.signal import correlate

from dope.core.backend import mx, nd, use_threads
from dope.core.configuring.signature import signature
from dope.core.errors import ConfigError
from dope.core.task import parameters
from dope.plugins.vision import scratch
from dope.plugins.vision.alexnet import AlexNet
from dope.plugins.vision.cnn import CNN
from dope.plugins.vision.mlp import MLP
from dope.plugins.vision.softmax import Softmax
from dope.plugins.vision.vgg import VGG

ONE, TWO = [mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]


@pytest.fixture(autouse=True)
def one_thread():
    """Arrays this small are quicker on one thread, above all on a busy machine."""
    use_threads(1)
    mx.random.seed(3)
    yield
    use_threads(None)


def images(*shape, classes=10):
    return SimpleNamespace(shape=shape, classes=[str(i) for i in range(classes)])


MNIST, DIGITS, CIFAR = images(1, 28, 28), images(1, 8, 8), images(3, 32, 32)

BOTH = {
    "softmax": (Softmax, {}),
    "mlp": (MLP, {}),
    "mlp-three": (MLP, {"hidden": (20, 30, 10)}),
    "cnn": (CNN, {}),
    "cnn-book-scratch": (CNN, {"kernels": (3, 5), "pool": "avg"}),
    "cnn-batch-norm": (CNN, {"batch_norm": True}),
    "cnn-padded": (CNN, {"pad": True, "dense": 16}),
}


def start(net, contexts=ONE, hybrid=True):
    net.initialize(ctx=contexts)
    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
    return net


def copy(source, target):
    """Weights by structure; biases get values too, which start at zero."""
    rng = np.random.default_rng(5)
    theirs, ours = parameters(target), parameters(source)
    assert list(theirs) == list(ours)
    for name, parameter in ours.items():
        if name.endswith(("bias", "beta", "gamma")):
            parameter.set_data(nd.array(rng.normal(1, 0.3, parameter.shape)))
        theirs[name].set_data(parameter.data(mx.cpu(0)))


def output_and_gradients(net, x, r):
    """Outputs, and the gradients of their product with r summed, of all parameters and of x.

    In training mode: MXNet's max pooling has no right gradient in prediction mode (imperative).
    """
    x = x.copy()
    x.attach_grad()
    with mx.autograd.record():
        y = net(x)
        total = (y * r).sum()
    total.backward()
    found = {"output": y.asnumpy(), "x": x.grad.asnumpy()}
    for name, parameter in parameters(net).items():
        moving = parameter.grad_req == "null"
        array = parameter.data(x.context) if moving else parameter.grad(x.context)
        found[name] = array.asnumpy()
    return found


def prediction_and_gradient(net, x, r):
    """Outputs in prediction mode, and the gradient of x there."""
    x.attach_grad()
    with mx.autograd.record(train_mode=False):
        y = net(x)
    y.backward(r, train_mode=False)
    return {"output": y.asnumpy(), "x": x.grad.asnumpy()}


def assert_close(a, b, tolerance=1e-5):
    """To a share of the largest entry in a layer, or absolutely where that is below 1.

    Of a layer, for the gradient of a bias before batch normalization is 0 but for rounding.
    """
    assert a.keys() == b.keys()
    scale = {}
    for name in b:
        layer = name.partition(".")[0]
        scale[layer] = max(scale.get(layer, 1.0), np.abs(b[name]).max())
    for name in a:
        unit = scale[name.partition(".")[0]]
        np.testing.assert_allclose(a[name] / unit, b[name] / unit, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("case", BOTH)
@pytest.mark.parametrize("dataset", [MNIST, DIGITS, CIFAR], ids=["mnist", "digits", "cifar"])
def test_scratch_is_gluon(case, hybrid, dataset):
    model, options = BOTH[case]
    nets = [
        start(model(dataset, impl=impl, **options), ONE, hybrid) for impl in ("gluon", "scratch")
    ]
    copy(*nets)
    rng = np.random.default_rng(1)
    pixels = rng.uniform(-1, 1, size=(7, *dataset.shape))
    pixels[:, :, :3] = 0  # blank margins, as digits have
    x, r = nd.array(pixels), nd.array(rng.normal(size=(7, 10)))
    for _ in range(2):
        assert_close(*[output_and_gradients(net, x, r) for net in nets[::-1]])
        assert_close(*[{"output": net(x).asnumpy()} for net in nets])


@pytest.mark.parametrize("hybrid", [False, True])
def test_relu_at_zero_has_the_same_gradient(hybrid):
    x = nd.array([[-1.0, 0.0, 2.0, np.nan]])
    slopes = []
    for layers in (scratch, mx.gluon.nn):
        net = start(layers.Activation("relu"), hybrid=hybrid)
        slopes.append(output_and_gradients(net, x, nd.ones((1, 4)))["x"][0, :3])
    np.testing.assert_array_equal(slopes, [[0, 0, 1]] * 2)
    assert np.isnan(scratch.Activation("relu")(x).asnumpy()[0, 3])  # divergence is not hidden


def test_cnn_against_numpy_and_scipy():
    net = start(CNN(DIGITS, channels=(2,), kernels=(3,), pool="avg", dense=4, pad=False))
    copy(net, net)
    w = {name: p.data().asnumpy().astype("float64") for name, p in parameters(net).items()}
    x = np.random.default_rng(2).normal(size=(3, 1, 8, 8))
    for i in range(3):
        maps = [  # SciPy's correlate in float64
            np.maximum(correlate(x[i, 0], w["0.weight"][c, 0], "valid") + w["0.bias"][c], 0)
            for c in range(2)
        ]
        pooled = np.array([m.reshape(3, 2, 3, 2).mean(axis=(1, 3)) for m in maps]).ravel()
        hidden = np.maximum(w["2.weight"] @ pooled + w["2.bias"], 0)
        logits = w["3.weight"] @ hidden + w["3.bias"]
        np.testing.assert_allclose(net(nd.array(x)).asnumpy()[i], logits, rtol=1e-4, atol=1e-5)


def test_batch_norm_gives_the_book_s_numbers():
    a = nd.array([[1, 7], [5, 4], [6, 10]])
    b = nd.array([1, 6, 5, 7, 4, 3, 2, 5, 6, 3, 2, 4, 5, 3, 2, 5]).reshape((2, 2, 2, 2))
    net = start(scratch.BatchNorm(2))
    with mx.autograd.train_mode():
        dense, image = net(a).asnumpy(), start(scratch.BatchNorm(2))(b).asnumpy()
    np.testing.assert_allclose(dense[:, 0], [-1.38872862, 0.46290955, 0.9258191], atol=1e-6)
    np.testing.assert_allclose(
        image[0, 0], [[-1.63784397, 0.88191599], [0.37796399, 1.38586795]], atol=1e-6
    )
    # momentum 0.9; the variance of 1, 5, 6 is 14 / 3, biased
    np.testing.assert_allclose(net.running_mean.data().asnumpy(), [0.4, 0.7], rtol=1e-6)
    np.testing.assert_allclose(
        net.running_var.data().asnumpy(), [0.9 + 0.1 * 14 / 3, 1.5], rtol=1e-6
    )


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("shape", [(6, 3, 5, 4), (8, 3)], ids=["image", "dense"])
def test_batch_norm_is_gluon_s_on_two_contexts(shape, hybrid):
    ours = start(scratch.BatchNorm(3, momentum=0.8, epsilon=1e-3), TWO, hybrid)
    theirs = start(mx.gluon.nn.BatchNorm(in_channels=3, momentum=0.8, epsilon=1e-3), TWO, hybrid)
    copy(theirs, ours)
    rng = np.random.default_rng(4)
    for step in range(4):
        for context in TWO:  # different data, so different moving statistics
            x = nd.array(rng.normal(2 * step, 1 + step, size=shape), ctx=context)
            r = nd.array(rng.normal(size=shape), ctx=context)
            assert_close(*[output_and_gradients(net, x, r) for net in (ours, theirs)])
            assert_close(*[prediction_and_gradient(net, x, r) for net in (ours, theirs)])
    first, second = (ours.running_var.data(context).asnumpy() for context in TWO)
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("hybrid", [False, True])
def test_prediction_leaves_moving_statistics_as_they_are(hybrid):
    net = start(scratch.BatchNorm(3), hybrid=hybrid)
    with mx.autograd.train_mode():
        net(nd.random.normal(shape=(5, 3))).wait_to_read()
    before = net.running_mean.data().asnumpy(), net.running_var.data().asnumpy()
    assert np.abs(before[0]).min() > 0
    net(nd.full((5, 3), np.inf)).wait_to_read()
    once = net(nd.ones((5, 3))).asnumpy()
    np.testing.assert_array_equal(net(nd.ones((1, 3))).asnumpy(), once[:1])  # no batch in it
    np.testing.assert_array_equal(before[0], net.running_mean.data().asnumpy())
    np.testing.assert_array_equal(before[1], net.running_var.data().asnumpy())


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("shape", [(200, 50), (20, 5, 10, 10)])
def test_dropout(shape, hybrid):
    net = start(scratch.Dropout(0.3), TWO, hybrid)
    for context in TWO:
        x = nd.random.uniform(1, 2, shape=shape, ctx=context)
        np.testing.assert_array_equal(net(x).asnumpy(), x.asnumpy())
        masks = []
        for _ in range(2):
            found = output_and_gradients(net, x, nd.ones(shape, ctx=context))
            kept = found["output"] != 0
            masks.append(kept)
            np.testing.assert_allclose(found["x"], kept / 0.7, rtol=1e-6)
            np.testing.assert_allclose(found["output"], x.asnumpy() * kept / 0.7, rtol=1e-6)
            # 10,000 draws: 5 standard deviations are 0.023
            assert abs(kept.mean() - 0.7) < 0.023
            assert abs(np.corrcoef(kept.reshape(2, -1))[0, 1]) < 0.07
        assert abs(np.corrcoef(masks[0].ravel(), masks[1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("impl", ["scratch", "gluon"])
@pytest.mark.parametrize("hybrid", [False, True])
def test_mlp_drops_in_training_only(impl, hybrid):
    net = start(MLP(MNIST, dropout=0.5, impl=impl), hybrid=hybrid)
    plain = start(MLP(MNIST, impl=impl))
    for a, b in zip(parameters(net).values(), parameters(plain).values()):
        b.set_data(a.data())
    x = nd.random.uniform(shape=(4, 1, 28, 28))
    np.testing.assert_allclose(net(x).asnumpy(), plain(x).asnumpy(), atol=1e-6)
    with mx.autograd.train_mode():
        first, second = net(x).asnumpy(), net(x).asnumpy()
    assert np.abs(first - second).max() > 1e-3


def count(net):
    return sum(p.data().size for p in parameters(net).values() if p.grad_req != "null")


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (Softmax(MNIST), 784 * 10 + 10),
        (MLP(MNIST), 784 * 256 + 256 + 256 * 257 + 2570),
        (CNN(MNIST, dense=512), 520 + 25050 + 800 * 512 + 512 + 5130),
        (CNN(MNIST, kernels=(3, 5), pool="avg"), 200 + 25050 + 800 * 128 + 128 + 1290),
        (CNN(MNIST, dense=512, batch_norm=True), 440812 + 2 * (20 + 50 + 512)),
        (VGG(MNIST), 640 + 73856 + 295168 + 590080 + 1180160 + 2359808 + 2 * 262656 + 5130),
        (
            AlexNet(CIFAR, width=0.25),
            24 * 364 + 48 * 601 + 96 * 433 + 96 * 865 + 64 * 865 + 1024 * 65 + 1024 * 1025 + 10250,
        ),
    ],
    ids=["softmax", "mlp", "cnn", "cnn-scratch", "cnn-batch-norm", "vgg", "alexnet-quarter"],
)
def test_number_of_parameters(net, expected):
    assert count(start(net)) == expected


def test_alexnet_has_the_book_s_layers():
    net = AlexNet(CIFAR)
    shapes = [p.shape for name, p in parameters(net).items() if name.endswith("weight")]
    assert shapes == [
        *((96, 3, 11, 11), (192, 96, 5, 5), (384, 192, 3, 3), (384, 384, 3, 3), (256, 384, 3, 3)),
        *((4096, 256), (4096, 4096), (10, 4096)),
    ]


def sides(net, dataset):
    """Side of the image after each layer that gives images."""
    x, found = nd.zeros((1, *dataset.shape)), []
    for layer in net:
        x = layer(x)
        if x.ndim == 4:
            found.append(x.shape[2])
    return found


@pytest.mark.parametrize(
    ("model", "options", "dataset", "expected"),
    [
        (CNN, {}, MNIST, [24, 12, 8, 4]),
        (CNN, {"kernels": (3, 5), "pool": "avg"}, MNIST, [26, 13, 9, 4]),
        (CNN, {}, CIFAR, [28, 14, 10, 5]),
        (CNN, {}, DIGITS, [8, 4, 4, 2]),
        (CNN, {"pad": True}, MNIST, [28, 14, 14, 7]),
        (AlexNet, {"width": 0.05}, CIFAR, [224, 54, 26, 22, 10, 8, 6, 4, 1]),
        (AlexNet, {"width": 0.05, "size": 195}, MNIST, [195, 47, 23, 19, 9, 7, 5, 3, 1]),
        (AlexNet, {"width": 0.05, "size": None}, images(1, 227, 224), [55, 27, 23, 11, 9, 7, 5, 2]),
        (
            VGG,
            {"blocks": ((1, 2), (1, 3), (2, 4), (2, 5))},
            MNIST,
            [28, 14, 14, 7, 7, 7, 3, 3, 3, 1],
        ),
        (
            VGG,
            {"blocks": ((1, 2), (1, 3), (2, 4), (2, 5))},
            CIFAR,
            [32, 16, 16, 8, 8, 8, 4, 4, 4, 2],
        ),
        (VGG, {"blocks": ((1, 2), (2, 3), (1, 4))}, DIGITS, [8, 4, 4, 4, 2, 2, 1]),
    ],
)
def test_sizes(model, options, dataset, expected):
    net = start(model(dataset, **options), hybrid=False)
    assert sides(net, dataset) == expected
    net.hybridize(static_alloc=True, static_shape=True)
    for n in (3, 2, 3):
        assert net(nd.ones((n, *dataset.shape))).shape == (n, 10)


def test_alexnet_enlarges_bilinearly():
    net = start(AlexNet(CIFAR, width=0.05, size=195))
    ramp = np.broadcast_to(np.linspace(0, 1, 32), (1, 3, 32, 32))
    expected = np.broadcast_to(np.linspace(0, 1, 195), (1, 3, 195, 195))
    np.testing.assert_allclose(net[0](nd.array(ramp)).asnumpy(), expected, atol=1e-6)
    assert len(AlexNet(images(3, 195, 195), size=195)) == len(net) - 1


FORMS = (Softmax, MLP, CNN)  # those that have a scratch form
ALL = {
    **BOTH,
    "mlp-dropout": (MLP, {"dropout": 0.5}),
    "alexnet": (AlexNet, {"width": 0.05}),
    "vgg": (VGG, {"blocks": ((1, 4), (1, 8)), "dense": 16}),
}


SCRATCH = {f"{k}-scratch": (m, {**o, "impl": "scratch"}) for k, (m, o) in ALL.items() if m in FORMS}


@pytest.mark.parametrize("case", [*ALL, *SCRATCH])
def test_traced_saved_and_loaded(case, tmp_path):
    model, options = {**ALL, **SCRATCH}[case]
    net = start(model(CIFAR, **options))
    x = nd.random.uniform(shape=(2, 3, 32, 32))
    with mx.autograd.train_mode():
        net(x).wait_to_read()  # moves the moving statistics
    expected = net(x).asnumpy()
    symbol = net(mx.sym.var("data"))
    assert symbol.infer_shape(data=(5, 3, 32, 32))[1] == [(5, 10)]
    net.export(str(tmp_path / "net"))
    loaded = mx.gluon.SymbolBlock.imports(
        str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
    )
    np.testing.assert_allclose(loaded(x).asnumpy(), expected, atol=1e-6)


@pytest.mark.parametrize("case", [*ALL, *SCRATCH])
def test_the_first_step_of_learning_moves_every_parameter(case):
    model, options = {**ALL, **SCRATCH}[case]
    net = start(model(CIFAR, **options))
    rng = np.random.default_rng(6)
    x, r = nd.array(rng.normal(size=(8, 3, 32, 32))), nd.array(rng.normal(size=(8, 10)))
    found = output_and_gradients(net, x, r)
    assert all(np.abs(gradient).max() > 0 for gradient in found.values())


@pytest.mark.parametrize("init", ["he", "xavier"])
def test_variance_of_first_weights(init):
    net = start(VGG(MNIST, blocks=((1, 64), (1, 128)), dense=512, init=init))
    for name, inputs, outputs in (("2.weight", 64 * 9, 128 * 9), ("6.weight", 512, 512)):
        wanted = 2 / inputs if init == "he" else 2 * 2.24 / 3 / (inputs + outputs)
        assert parameters(net)[name].data().asnumpy().var() == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize(
    ("model", "dataset", "options", "message"),
    [
        (MLP, MNIST, {"dropout": 1.0}, "model.dropout=1.0 is out of range"),
        (MLP, MNIST, {"hidden": (3, 0)}, r"model.hidden=\[3, 0\] is out of range"),
        (CNN, MNIST, {"kernels": (5,)}, "differ in length"),
        (CNN, MNIST, {"dense": 0}, "model.dense is out of range: 0"),
        (CNN, DIGITS, {"pad": False}, "images of 8 x 8 are too small"),
        (CNN, DIGITS, {"channels": (2,) * 4, "kernels": (3,) * 4}, "images of 8 x 8 are too small"),
        (AlexNet, CIFAR, {"size": None}, "images of 32 x 32 at model.size=null are too small"),
        (AlexNet, CIFAR, {"size": 194}, "images of 32 x 32 at model.size=194 are too small"),
        (AlexNet, CIFAR, {"width": 0.0}, "model.width=0.0 is out of range"),
        (VGG, DIGITS, {}, "too small for 4 blocks.*at most 3"),
        (VGG, MNIST, {"blocks": ((0, 3),)}, "out of range: 0"),
        (VGG, MNIST, {"dropout": -0.1}, "model.dropout=-0.1 is out of range"),
    ],
)
def test_what_cannot_be_is_refused(model, dataset, options, message):
    with pytest.raises(ConfigError, match=message):
        model(dataset, **options)


@pytest.mark.parametrize("model", [Softmax, MLP, CNN, AlexNet, VGG])
def test_options_can_be_read_without_mxnet_and_are_explained(model):
    found = signature(f"{model.__module__}:{model.__name__}")
    assert found.options
    assert all(option.description for option in found.options.values())
