"""pix2pix: its networks beside PyTorch's, whose updates change what, and what it predicts.

Holds no tests of the pool (test_pool.py) or of sets of pairs (test_pairs.py).
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dope.core import api
from dope.core.backend import mx, nd
from dope.core.engine import Engine
from dope.core.errors import ConfigError
from dope.core.task import parameters
from dope.plugins.generative.houses import Houses
from dope.plugins.generative.patch import Patches, smallest
from dope.plugins.generative.pix2pix import Pix2Pix, translator
from dope.plugins.generative.pool import ImagePool
from dope.plugins.generative.unet import UNet
from dope.plugins.losses.losses import L2, Logistic

# The values below come from PyTorch 2.13 in float64: the same layers written with torch.nn (Conv2d,
# ConvTranspose2d and BatchNorm2d, kernel 4, stride 2, padding 1), weights 0.1 sin(0.7 i + k) and
# vectors 0.5 + 0.3 cos(i + k) of parameter k in the order of ORDER, inputs sin(0.37 i), in train().
ORDER = [
    "down.0.0.weight", "down.0.0.bias", "down.1.1.weight", "down.2.1.weight", "down.2.1.bias",
    "down.1.2.gamma", "down.1.2.beta", "up.0.1.weight", "up.1.1.weight", "up.2.1.weight",
    "up.2.1.bias", "up.0.2.gamma", "up.0.2.beta", "up.1.2.gamma", "up.1.2.beta",
]  # fmt: skip
UNET = {"sum": 164.67690838, (1, 2, 3, 4): 0.47747231, (0, 0, 7, 7): 0.22084293}
GRADIENTS = [
    145.566031, 9.261617, 185.491477, 57.246629, 3.922199, 2.045507, 1.455031, 105.818417,
    299.973798, 1393.215276, 213.216625, 2.071669, 1.276171, 4.66372, 5.112272,
]  # fmt: skip
PATCH_ORDER = [
    "0.0.weight",
    "0.0.bias",
    "1.1.weight",
    "3.weight",
    "3.bias",
    "1.2.gamma",
    "1.2.beta",
]
PATCHES = {"sum": 15.83032022, (1, 0, 2, 3): 0.24371104}


def filled(net, order):
    """A network with the weights that the reference has."""
    net.initialize()
    found = parameters(net)
    learned = [key for key, p in found.items() if p.grad_req != "null"]
    assert sorted(order) == sorted(learned)
    for k, key in enumerate(order):
        i = np.arange(np.prod(found[key].shape), dtype=np.float64)
        vector = len(found[key].shape) == 1
        values = 0.5 + 0.3 * np.cos(i + k) if vector else 0.1 * np.sin(0.7 * i + k)
        found[key].set_data(nd.array(values.reshape(found[key].shape)))
    return net


def waves(*shape):
    return nd.array(np.sin(0.37 * np.arange(np.prod(shape))).reshape(shape))


@pytest.mark.parametrize("hybrid", [False, True])
def test_unet_is_pytorchs(hybrid):
    net = filled(UNet(3, 3, 8, 2, 0.0, "batch"), ORDER)
    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
    with mx.autograd.record():
        y = net(waves(2, 3, 8, 8))
        loss = y.square().sum()
    loss.backward()
    found = y.asnumpy()
    assert found.shape == (2, 3, 8, 8)
    assert found.sum() == pytest.approx(UNET["sum"], rel=1e-5)
    for place in list(UNET)[1:]:
        assert found[place] == pytest.approx(UNET[place], abs=1e-5)
    sizes = [float(parameters(net)[key].grad().abs().sum().asscalar()) for key in ORDER]
    np.testing.assert_allclose(sizes, GRADIENTS, rtol=2e-3)


def test_patches_are_pytorchs():
    net = filled(Patches(6, 2, 1, "batch"), PATCH_ORDER)
    with mx.autograd.record():
        found = net(waves(2, 6, 16, 16)).asnumpy()
    assert found.shape == (2, 1, 6, 6)
    assert found.sum() == pytest.approx(PATCHES["sum"], rel=1e-5)
    assert found[1, 0, 2, 3] == pytest.approx(PATCHES[1, 0, 2, 3], abs=1e-5)


@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_every_size_goes_down_to_one_pixel_and_back(size):
    net = UNet(3, 3, size, 1, 0.5, "none")
    x = mx.sym.var("x")
    shapes = [x_.infer_shape(x=(2, 3, size, size))[1][0] for x_ in (net(x), net.down(x))]
    assert shapes == [(2, 3, size, size), (2, 8, 1, 1)]
    assert len(net.down) == len(net.up) == np.log2(size)


@pytest.mark.parametrize("width", [1, 8, 12])
def test_gradients_hold_for_any_width(width):
    """A way around oneDNN's concat, which ends the process for some of these."""
    code = (
        "from dope.core.backend import mx, nd\n"
        "from dope.plugins.generative.unet import UNet\n"
        f"net = UNet(3, 3, 64, {width}, 0.0, 'none'); net.initialize()\n"
        "with mx.autograd.record(): loss = net(nd.ones((2, 3, 64, 64))).sum()\n"
        "loss.backward(); nd.waitall()\n"
        "assert net.down[0][0].weight.grad().abs().sum().asscalar() > 0\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_patch_has_the_size_that_is_promised(layers, field):
    net = Patches(1, 1, layers, "none")
    net.initialize(mx.init.Constant(0.01))
    size = 128
    x = nd.random.uniform(shape=(1, 1, size, size))
    x.attach_grad()
    with mx.autograd.record():
        y = net(x)
        one = y[:, :, y.shape[2] // 2, y.shape[3] // 2].sum()
    one.backward()
    rows = np.flatnonzero(np.abs(x.grad.asnumpy()).sum(axis=(0, 1, 3)))
    assert rows[-1] - rows[0] + 1 == field
    side = smallest(layers)
    assert net(nd.zeros((1, 1, side, side))).shape == (1, 1, 2, 2)


def test_dropout_acts_where_the_paper_says_and_only_in_learning():
    net = UNet(3, 3, 64, 16, 0.5, "batch")
    places = [i for i, layer in enumerate(net.up) if "Dropout" in repr(layer)]
    assert places == [0, 1, 2]
    net.initialize()
    x = waves(2, 3, 64, 64)
    assert (net(x) == net(x)).asnumpy().all()
    with mx.autograd.train_mode():
        assert not (net(x) == net(x)).asnumpy().all()


def made(criterion=None, **options):
    """A task with its networks, ready to step."""
    task = Pix2Pix(**options)
    task.dataset = Houses(train=4, valid=2)
    task.model = lambda dataset: translator(
        dataset, width=4, patch_width=4, patch_layers=1, dropout=0.0, norm="instance"
    )
    task.criterion = criterion or Logistic()
    task.optimizer = {"name": "adam", "learning_rate": 0.01}
    task.options = type("Options", (), {"batch_size": 2, "clip": None})()
    task.prepare()
    nets = task.build()
    return task, Engine(nets, task.groups(nets), [mx.cpu()])


def values(net):
    return {key: p.data().asnumpy().copy() for key, p in parameters(net).items()}


def moved(before, net):
    now = values(net)
    return [key for key in now if (now[key] != before[key]).any()]


def test_each_update_changes_its_own_network_alone():
    task, engine = made()
    nets = engine.nets
    batch = next(iter(task.data("train")))
    before = {name: values(net) for name, net in nets.items()}
    false = engine.gather(task.pairs, batch)[0]
    engine.minimize("discriminator", task.tell_apart, (*batch, false))
    assert not moved(before["generator"], nets["generator"])
    assert len(moved(before["discriminator"], nets["discriminator"])) == len(
        before["discriminator"]
    )
    before = {name: values(net) for name, net in nets.items()}
    engine.minimize("generator", task.deceive, batch)
    assert not moved(before["discriminator"], nets["discriminator"])
    assert len(moved(before["generator"], nets["generator"])) == len(before["generator"])


@pytest.mark.parametrize(("criterion", "real"), [(Logistic, 1.0), (Logistic, 0.9), (L2, 1.0)])
def test_losses_are_those_of_the_paper(criterion, real):
    task, engine = made(criterion(), real=real, l1=7.0)
    x, y = next(iter(task.data("train")))
    nets = engine.nets
    fake = nets["generator"](x)
    scores = [nets["discriminator"](nd.concat(x, z, dim=1)).asnumpy() for z in (y, fake)]

    def loss(score, target):
        if criterion is L2:
            return ((score - target) ** 2 / 2).mean(axis=(1, 2, 3))
        p = 1 / (1 + np.exp(-score))
        return -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean(axis=(1, 2, 3))

    found = task.tell_apart(nets, (x, y, nd.concat(x, fake, dim=1)), None)
    expected = (loss(scores[0], real) + loss(scores[1], 0)) / 2
    np.testing.assert_allclose(found["discriminator_loss"].asnumpy(), expected, rtol=1e-4)
    found = task.deceive(nets, (x, y), None)
    error = np.abs(fake.asnumpy() - y.asnumpy()).mean(axis=(1, 2, 3))
    expected = loss(scores[1], 1) + 7 * error
    np.testing.assert_allclose(found["generator_loss"].asnumpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(found["l1"].asnumpy(), error / 2, rtol=1e-5)


def test_the_discriminator_sees_what_the_pool_returns():
    task, engine = made(pool=2)
    task.pool, other = ImagePool(2, seed=0), ImagePool(2, seed=0)
    fresh, seen = [], []
    pairs, minimize = task.pairs, engine.minimize

    def generated(nets, shard):
        fresh.append(pairs(nets, shard).copy())
        return fresh[-1]

    def noted(name, loss, batch):
        if name == "discriminator":
            seen.append(batch[2].asnumpy().copy())
        return minimize(name, loss, batch)

    task.pairs, engine.minimize = generated, noted
    for batch in [*task.data("train")] * 4:
        task.step(engine, batch)
        assert (fresh[-1][:, :3] == batch[0]).asnumpy().all()
    expected = [other.query(images).asnumpy() for images in fresh]
    assert all((a == b).all() for a, b in zip(seen, expected))
    assert any((a != b.asnumpy()).any() for a, b in zip(seen, fresh))


def test_state_of_the_task_is_that_of_its_pool():
    task, engine = made(pool=3)
    for batch in task.data("train"):
        task.step(engine, batch)
    state = task.state()
    assert state["pool/images"].shape == (3, 6, 64, 64)
    other, _ = made(pool=3)
    other.restore(state)
    assert all((other.state()[key] == state[key]).all() for key in state)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 0}, "model.width is 0"),
        ({"dropout": 1.0}, "model.dropout is 1.0"),
        ({"patch_layers": 5}, "model.patch_layers is 5 for images of 64 x 64"),
        ({"patch_layers": 0}, "model.patch_layers is 0"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        translator(Houses(train=1, valid=1), **options)


@pytest.mark.parametrize("options", [{"l1": -1.0}, {"pool": -1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=f"task.{next(iter(options))} is -1"):
        Pix2Pix(**options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return api.run("generative.pix2pix", profile="tiny", runs=tmp_path_factory.mktemp("runs"))


def test_baselines_are_those_of_the_input_and_of_the_mean_image(run):
    inputs, targets = (
        part.astype(float) / 255 for part in Houses(train=12, valid=4).split("valid")
    )
    mean = Houses(train=12, valid=4).split("train")[1].mean(axis=0) / 255
    assert run.metrics["identity_l1"] == pytest.approx(np.abs(inputs - targets).mean(), rel=1e-5)
    assert run.metrics["mean_image_l1"] == pytest.approx(np.abs(mean - targets).mean(), rel=1e-5)


def test_a_grid_is_written_each_epoch(run):
    names = sorted(path.name for path in (run.path / "samples").iterdir())
    assert names == ["epoch-0001.png", "epoch-0002.png"]
    assert (run.path / "plots" / "translations.png").is_file()


def test_held_out_images_are_predicted_and_compared(run):
    found = run.predict(n=3)
    assert len(found["rows"]) == len(found["files"]) == 3
    image = np.asarray(Image.open(found["files"][1])).transpose(2, 0, 1)
    target = Houses(train=12, valid=4).split("valid")[1][1]
    error = np.abs(image.astype(float) - target).mean() / 255
    assert found["rows"][1]["l1"] == pytest.approx(error, rel=1e-6)


def test_image_files_are_translated_each_into_a_file_of_its_name(run, tmp_path):
    pixels = Houses(train=12, valid=4).split("valid")[0][:2].transpose(0, 2, 3, 1)
    paths = []
    for folder, image in zip(("a", "b"), pixels):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "house.png")
        Image.fromarray(image).save(paths[-1])
    found = run.predict(inputs=[str(path) for path in paths])
    assert [path.name for path in found["files"]] == ["house.png", "house-2.png"]
    alone = run.predict(n=2)  # the same images, from the data set
    for one, other in zip(found["files"], alone["files"]):
        assert np.asarray(Image.open(one)).tolist() == np.asarray(Image.open(other)).tolist()


def test_an_input_that_is_no_image_is_refused_by_name(run, tmp_path):
    (tmp_path / "no.png").write_text("no")
    with pytest.raises(ConfigError, match=r"no\.png cannot be read as an image"):
        run.predict(inputs=[str(tmp_path / "no.png")])
