"""DCGAN: its networks and losses beside PyTorch's, what each update changes, sheets, warnings.

Holds tests on tiny networks; how images look is judged by eye, not here.
"""

from __future__ import annotations

import types

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import pdist

import dope
from dope.core.backend import mx, nd
from dope.core.engine import Engine
from dope.core.errors import ConfigError
from dope.core.rundir import RunDirectory
from dope.plugins.generative.dcgan import DCGAN, between, spread
from dope.plugins.generative.dcgan_nets import dcgan
from dope.plugins.losses.losses import Logistic

# PyTorch 2.13, its layers and binary_cross_entropy_with_logits, on the numbers of `drawn`: loss of
# each example, and the sum of the absolute gradient of each parameter, of the sum of the losses.
DISCRIMINATOR = [3.5381548, 3.2275093, 1.7013822, 3.0719049, 2.0930889, 2.3393924]
DISCRIMINATOR_GRADIENTS = [300.307312, 372.437561, 11.124567, 4.392359, 172.723541]
GENERATOR = [0.04273935, 0.28372768, 1.62499572, 0.32084876, 1.73313618, 0.28707802]
GENERATOR_GRADIENTS = [318.097473, 6.311160, 6.427678, 264.953766, 1.530591, 4.448423, 148.989761]
MOVING_MEAN = [-0.00484335, 0.00455490, 0.01744801]  # of the generator's first layer


def made(size=16, features=4, latent=8, norm="batch", contexts=1, hybridize=True, **options):
    """A task with tiny networks, and an engine."""
    task = DCGAN(**options)
    task.dataset = types.SimpleNamespace(shape=(3, size, size))
    task.model = lambda dataset: dcgan(dataset, latent=latent, features=features, norm=norm)
    task.criterion = Logistic()
    task.optimizer = {"name": "sgd", "learning_rate": 0.01}
    task.options = types.SimpleNamespace(clip=None, batch_size=6)
    nets = task.build()
    places = [mx.cpu(i) for i in range(contexts)]
    return task, Engine(nets, task.groups(nets), places, hybridize=hybridize)


def drawn(nets):
    """A batch, and weights of the networks, from NumPy's generator; as PyTorch got them."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    batch = np.tanh(normal(6, 3, 16, 16)), normal(6, 8)
    for name in ("generator", "discriminator"):
        for parameter in nets[name].collect_params().values():
            if len(parameter.shape) == 4:
                parameter.set_data(nd.array(0.2 * normal(*parameter.shape)))
    return tuple(nd.array(part) for part in batch)


def learned(net):
    return [p for p in net.collect_params().values() if p.grad_req != "null"]


def bits(net):
    """All parameters, moving averages included."""
    return {
        name: [copy.asnumpy() for copy in p.list_data()] for name, p in net.collect_params().items()
    }


def same(left, right):
    return all(
        np.array_equal(a, b) for name in left for a, b in zip(left[name], right[name], strict=True)
    )


@pytest.mark.parametrize("hybridize", [True, False])
def test_losses_and_gradients_are_pytorchs(hybridize):
    task, engine = made(real=0.9, hybridize=hybridize)
    batch = drawn(engine.nets)
    for name, loss, expected, gradients in (
        ("discriminator", task.tell_apart, DISCRIMINATOR, DISCRIMINATOR_GRADIENTS),
        ("generator", task.deceive, GENERATOR, GENERATOR_GRADIENTS),
    ):
        vectors = engine.gather(lambda nets, shard, f=loss: losses_of(f, nets, shard), batch)[0]
        np.testing.assert_allclose(vectors, expected, rtol=2e-5)
        for parameter in learned(engine.nets[name]):
            parameter.zero_grad()
        frozen = [(p, p.data().asnumpy()) for net in engine.nets.values() for p in learned(net)]
        engine.minimize(name, loss, batch)
        found = [float(np.abs(p.grad().asnumpy()).sum()) for p in learned(engine.nets[name])]
        np.testing.assert_allclose(found, gradients, rtol=2e-4)
        for parameter, value in frozen:
            parameter.set_data(nd.array(value))
    mean = engine.nets["generator"][1].running_mean.data().asnumpy()
    np.testing.assert_allclose(mean[:3], MOVING_MEAN, rtol=1e-4)


def losses_of(loss, nets, shard):
    with mx.autograd.train_mode():
        return next(iter(loss(nets, shard, None).values())).asnumpy()


@pytest.mark.parametrize("hybridize", [True, False])
def test_an_update_changes_one_network_only(hybridize):
    task, engine = made(hybridize=hybridize)
    batch = drawn(engine.nets)
    for name, other, loss in (
        ("discriminator", "generator", task.tell_apart),
        ("generator", "discriminator", task.deceive),
    ):
        engine.minimize(name, loss, batch)  # the first one traces
        own, others = bits(engine.nets[name]), bits(engine.nets[other])
        engine.minimize(name, loss, batch)
        assert same(others, bits(engine.nets[other]))  # moving averages too
        moved = bits(engine.nets[name])
        assert all((own[key][0] != moved[key][0]).any() for key in own), name


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_one_and_two_contexts_learn_the_same(norm):
    found = []
    for contexts in (1, 2):
        task, engine = made(norm=norm, contexts=contexts)
        batch = drawn(engine.nets)
        for _ in range(3):
            task.step(engine, batch)
        found.append([p.list_data()[0].asnumpy() for n in engine.nets.values() for p in learned(n)])
    for one, two in zip(*found):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)


def test_sizes_are_the_papers():
    nets = dcgan(types.SimpleNamespace(shape=(3, 64, 64)))
    for net, count, given, expected in (
        (nets["generator"], 3_576_704, (2, 100), (2, 3, 64, 64)),
        (nets["discriminator"], 2_765_568, (2, 3, 64, 64), (2, 1)),
    ):
        net.initialize()
        assert sum(int(np.prod(p.shape)) for p in learned(net)) == count
        assert net(nd.zeros(given)).shape == expected
    weights = nets["generator"][3].weight.data().asnumpy()
    assert abs(weights.std() - 0.02) < 2e-4 and abs(weights.mean()) < 1e-4


@pytest.mark.parametrize("side", [16, 32, 128])
def test_other_sizes_have_other_depths(side):
    nets = dcgan(types.SimpleNamespace(shape=(1, side, side)), features=4, latent=3)
    for net in nets.values():
        net.initialize()
    images = nets["generator"](nd.random.normal(shape=(2, 3)))
    assert images.shape == (2, 1, side, side)
    assert nets["discriminator"](images).shape == (2, 1)


@pytest.mark.parametrize("shape", [(3, 48, 48), (3, 64, 32), (3, 8, 8)])
def test_other_images_are_refused(shape):
    with pytest.raises(ConfigError, match=f"{shape[1]} x {shape[2]}"):
        dcgan(types.SimpleNamespace(shape=shape))


def test_noise_on_instances_fades_with_the_learning_rate():
    task, engine = made(instance_noise=0.5)
    seen = []
    task.criterion.hybridize(False)
    engine.minimize = lambda name, loss, batch: seen.append(batch) or {}
    ones = nd.ones((6, 3, 16, 16))
    engine.rate = 0.4
    task.step(engine, (ones, nd.ones((6, 8)), ones, -ones))
    for batch in seen:
        assert float(batch[2].mean().asscalar()) == pytest.approx(0.2)
        assert float(batch[3].mean().asscalar()) == pytest.approx(-0.2)
    shard = seen[0]
    assert float(task.examples(shard).mean().asscalar()) == pytest.approx(1.2)
    plain = engine.nets["generator"](shard[1])
    np.testing.assert_allclose(
        (task.made(engine.nets, shard) - plain).asnumpy(), -0.2, rtol=0, atol=1e-6
    )


def test_spread_is_the_mean_distance():
    images = np.random.default_rng(1).integers(0, 256, (20, 3, 5, 5), dtype=np.uint8)
    assert spread(images) == pytest.approx(pdist(images.reshape(20, -1).astype(float)).mean())
    assert spread(images[:1].repeat(9, axis=0)) == 0.0
    assert spread(images[:1]) == 0.0


def test_a_walk_between_noises_keeps_their_length():
    a, b = np.random.default_rng(2).normal(size=(2, 100)).astype(np.float32)
    walk = between(a, b, 9)
    np.testing.assert_allclose(walk[0], a, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(walk[-1], b, rtol=1e-5, atol=1e-6)
    lengths = np.linalg.norm(walk, axis=1)
    assert lengths.min() > 0.97 * min(lengths[0], lengths[-1])
    assert np.linalg.norm((a + b) / 2) < 0.8 * lengths[0]  # a straight line does not
    np.testing.assert_array_equal(between(a, a, 3), np.stack([a, a, a]))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dope.run(
        "generative.dcgan", profile="tiny", runs=tmp_path_factory.mktemp("runs"), seed=1
    )


def test_a_run_leaves_sheets_and_says_that_it_collapsed(run):
    assert [path.name for path in sorted((run.path / "samples").glob("epoch-*"))] == [
        "epoch-0001.png",
        "epoch-0002.png",
    ]
    with Image.open(run.path / "samples" / "epoch-0002.png") as image:
        assert image.size == (8 * 66 + 2, 8 * 66 + 2)
    assert (run.path / "plots" / "images.png").is_file()
    assert (run.path / "plots" / "interpolation.png").is_file()
    rows = run.directory.metrics()
    assert all(0 <= row["diversity"] < 0.5 for row in rows)  # six steps: all images are alike
    assert "may have collapsed" in (run.path / "log.txt").read_text()
    assert run.metrics["collapsed"]


def test_a_loss_of_variety_is_said_once(tmp_path, monkeypatch):
    task, engine = made()
    run = RunDirectory.create(tmp_path, "t")
    monkeypatch.setattr(task, "data", lambda split: None)
    for epoch, diversity in enumerate([0.1, 0.8, 0.2, 0.2, 0.6, 0.1], 1):
        monkeypatch.setattr(task, "_diversity", lambda nets, d=diversity: d)
        assert task.evaluate(engine) == {"diversity": diversity}
        task.sample(engine.nets, run, epoch)
    text = (run.path / "log.txt").read_text()
    assert [f"epoch {e} " in text for e in range(1, 7)] == [e in (3, 6) for e in range(1, 7)]


def test_an_average_follows_the_generator():
    task, engine = made(average=0.9)
    batch = drawn(engine.nets)
    task.step(engine, batch)
    mean, now = (engine.nets[name] for name in ("average", "generator"))

    def values(net):
        return [p.data().asnumpy() for p in net.collect_params().values()]

    for a, b in zip(values(mean), values(now)):
        np.testing.assert_array_equal(a, b)  # the first step is taken whole
    expected = values(mean)
    for t in (1, 2):
        task.step(engine, batch)
        keep = t / (t + 9)
        expected = [keep * a + (1 - keep) * b for a, b in zip(expected, values(now))]
    for a, b in zip(values(mean), expected):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert task.state()["averaged"].tolist() == [3]
    other, _ = made(average=0.9)
    other.restore(task.state())
    assert other.state()["averaged"].tolist() == [3]
    assert made()[0].state() == {}


def test_prediction_is_the_seeds(run):
    def sheet(seed, *words):
        from dope.core import api

        return api.predict(run.path, words=words, seed=seed)["files"]

    first, again, other = sheet(3, "--n", "5"), sheet(3, "--n", "5"), sheet(4, "--n", "5")
    assert len(first) == 1 and len({str(files[0]) for files in (first, again, other)}) == 3
    pixels = [np.asarray(Image.open(files[0])) for files in (first, again, other)]
    assert pixels[0].shape == (2 * 66 + 2, 3 * 66 + 2, 3)
    assert np.array_equal(pixels[0], pixels[1]) and not np.array_equal(pixels[0], pixels[2])
    files = sheet(3, "--n", "5", "--single")
    assert len(files) == 6
    with Image.open(files[1]) as image:
        assert image.size == (16, 16)
    with pytest.raises(ConfigError, match="--n is 0"):
        sheet(3, "--n", "0")


def test_a_number_of_checkpoints_is_kept(tmp_path):
    trainer = {"epochs": 4, "keep": 3}
    run = dope.run("generative.dcgan", profile="tiny", runs=tmp_path, trainer=trainer)
    kept = [path for path in (run.path / "checkpoints").glob("*.npz") if "best" not in path.name]
    assert len(kept) == 3
