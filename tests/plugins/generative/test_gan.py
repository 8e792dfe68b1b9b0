"""The GAN on points: its densities, its measures against their definitions, and what runs leave.

Kill and resume, contexts and options are the contract suite's matter (tests/test_contract.py).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from dope.core import api
from dope.core.backend import mx, nd
from dope.core.errors import ConfigError
from dope.core.plugging.discovery import discover
from dope.plugins.generative.densities import Gaussian, Points, Ring, SwissRoll
from dope.plugins.generative.gan import Dense, dense_pair, distances, mmd2


@pytest.fixture(scope="module")
def registry():
    return discover()


@pytest.fixture(scope="module")
def tiny(registry, tmp_path_factory):
    return run(registry, tmp_path_factory.mktemp("runs"))


def run(registry, runs, profile="tiny", seed=0, **sections):
    return api.run(
        "generative.gan",
        profile=profile,
        seed=seed,
        runs=runs,
        contexts="cpu(0)",
        registry=registry,
        **sections,
    )


def test_the_gaussian_is_the_books():
    points = Gaussian(n=200_000).split("train").astype(float)
    np.testing.assert_allclose(points.mean(axis=0), [1, 2], atol=0.02)
    np.testing.assert_allclose(np.cov(points.T), [[1.01, 1.95], [1.95, 4.25]], rtol=0.02)


def test_the_ring_has_its_modes():
    ring = Ring(n=80_000, modes=5, radius=3.0, deviation=0.2)
    np.testing.assert_allclose(np.linalg.norm(ring.centres, axis=1), 3.0)
    points = ring.split("train")
    apart = np.linalg.norm(points[:, None] - ring.centres, axis=2)
    counts = np.bincount(apart.argmin(axis=1))
    assert len(counts) == 5 and abs(counts / 16_000 - 1).max() < 0.03
    # squared distances to the centre have mean 2 deviation^2
    assert (apart.min(axis=1) ** 2).mean() == pytest.approx(2 * 0.2**2, rel=0.02)


def test_the_roll_is_a_spiral():
    points = SwissRoll(n=5000, noise=0.0).split("train").astype(float)
    radius = np.linalg.norm(points, axis=1) * 7  # equals the angle, up to whole turns
    angle = np.arctan2(points[:, 1], points[:, 0])
    turns = (radius - angle) / (2 * math.pi)
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-5)
    assert radius.min() == pytest.approx(1.5 * math.pi, abs=0.02)
    assert radius.max() == pytest.approx(4.5 * math.pi, abs=0.02)


@pytest.mark.parametrize("kind", [Gaussian, Ring, SwissRoll])
def test_parts_differ_and_stay(kind):
    one, other = kind(n=30, held_out=20), kind(n=30, held_out=20, seed=1)
    train, valid = one.split("train"), one.split("valid")
    assert train.shape == (30, 2) and valid.shape == (20, 2) and train.dtype == np.float32
    assert one.split("test") is None and one.batches("test", 5) is None
    assert not (train[:20] == valid).any()
    assert (train == kind(n=30).split("train")).all()
    assert not (train == other.split("train")).any()
    assert not one.batches("valid", 5).shuffle and one.batches("train", 5).shuffle


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        (Gaussian, {"n": 0}, "dataset.n=0"),
        (Gaussian, {"held_out": 1}, "dataset.held_out=1"),
        (Ring, {"modes": 0}, "dataset.modes=0"),
        (Ring, {"deviation": 0.0}, "deviation=0.0"),
        (SwissRoll, {"noise": -1.0}, "dataset.noise=-1.0"),
    ],
)
def test_densities_refuse_what_cannot_be(kind, options, named):
    with pytest.raises(ConfigError, match=named):
        kind(**options)


def test_modes_that_are_missed_are_counted():
    ring = Ring(modes=4, radius=2.0, deviation=0.1)
    everywhere = ring.centres.repeat(25, axis=0)
    assert ring.figures(everywhere) == {"modes": 4.0, "hits": 1.0}
    half = everywhere.copy()
    half[:50] += 1.0  # the first two modes are missed
    assert ring.figures(half) == {"modes": 2.0, "hits": 0.5}
    assert Points(n=3).figures(everywhere) == {}


def test_mmd_is_its_definition():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 2)), rng.normal(size=(5, 2)) + 1
    among = [math.dist(a, b) for i, a in enumerate(x) for b in x[:i]]
    scale = 2 * np.median(among) ** 2

    def k(a, b):
        return math.exp(-(math.dist(a, b) ** 2) / scale)

    first = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    second = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    across = np.mean([k(a, b) for a in x for b in y])
    assert mmd2(x, y) == pytest.approx(first + second - 2 * across, rel=1e-9)


def test_mmd_is_unbiased_and_sees_what_differs():
    rng = np.random.default_rng(0)
    alike = [mmd2(rng.normal(size=(50, 2)), rng.normal(size=(60, 2))) for _ in range(200)]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / math.sqrt(200) and min(alike) < 0
    assert mmd2(rng.normal(size=(50, 2)), rng.normal(size=(60, 2)) + 1) > 5 * np.std(alike)


def test_distances_written_out():
    data = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    found = distances(data, 2 * data + [3.0, 3.0])
    assert found["mean_error"] == pytest.approx(math.hypot(4.0, 4.0))
    assert found["covariance_error"] == pytest.approx(3.0)  # four times as large
    assert distances(data, data)["covariance_error"] == 0.0


def test_a_layer_is_gluons_in_other_operators():
    ours, gluons = (kind(3, activation="tanh", in_units=2) for kind in (Dense, mx.gluon.nn.Dense))
    x = nd.random.normal(shape=(5, 2))
    grads = []
    for layer in (ours, gluons):
        layer.initialize()
        layer.weight.set_data(nd.arange(6).reshape((3, 2)) / 10)
        layer.bias.set_data(nd.arange(3))
        with mx.autograd.record():
            y = layer(x)
        y.backward()
        grads.append([y.asnumpy(), layer.weight.grad().asnumpy(), layer.bias.grad().asnumpy()])
    for a, b in zip(*grads):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_networks_of_the_book():
    nets = dense_pair(Gaussian(), discriminator=(5, 3), deviation=0.02)
    for net in nets.values():
        net.initialize()
    sizes = {name: [p.shape for p in net.collect_params().values()] for name, net in nets.items()}
    assert sizes["generator"] == [(2, 2), (2,)] and nets["generator"].latent == (2,)
    assert sizes["discriminator"] == [(5, 2), (5,), (3, 5), (3,), (1, 3), (1,)]
    for wrong in ({"latent": 0}, {"discriminator": (0,)}, {"deviation": 0.0}):
        with pytest.raises(ConfigError):
            dense_pair(Gaussian(), **wrong)


def test_a_run_leaves_figures_and_a_picture_each_epoch(tiny):
    rows = tiny.directory.metrics()
    assert {"valid_mean_error", "valid_covariance_error", "valid_mmd2"} <= rows[-1].keys()
    assert 0 <= rows[-1]["valid_discriminator_accuracy"] <= 1
    folder = tiny.path / "samples"
    assert sorted(p.name for p in folder.iterdir()) == ["epoch-0001.png", "epoch-0002.png"]
    with Image.open(folder / "epoch-0001.png") as image:
        assert image.width > 500
    result = tiny.directory.read_json("result.json")
    assert np.shape(result["metrics"]["sample_covariance"]) == (2, 2)
    assert (tiny.path / "plots" / "samples.png").is_file()


def test_predict_gives_points_by_seed(tiny, registry):
    np.random.seed(3)
    task_rows = tiny.task.predict(tiny.nets, tiny.directory, n=5)["rows"]
    np.random.seed(3)
    again = tiny.task.predict(tiny.nets, tiny.directory, n=5)["rows"]
    assert task_rows == again and len(again) == 5 and again[0].keys() == {"x", "y"}
    with pytest.raises(ConfigError, match="--n 0"):
        tiny.task.predict(tiny.nets, tiny.directory, n=0)


@pytest.mark.parametrize("dataset", ["generative.ring", "generative.swiss_roll"])
@pytest.mark.parametrize("loss", ["losses.logistic", "losses.l2", "generative.wasserstein"])
def test_every_loss_learns_on_every_density(loss, dataset, registry, tmp_path):
    found = run(registry, tmp_path, dataset={"name": dataset, "n": 100, "held_out": 50}, loss=loss)
    rows = found.directory.metrics()
    assert all(math.isfinite(value) for value in rows[-1].values() if value is not None)
    assert ("valid_modes" in rows[-1]) == (dataset == "generative.ring")


def test_errata_the_covariance_is_that_of_the_other_product():
    A = np.array([[1.0, 2.0], [-0.1, 0.5]])
    printed, right = A @ A.T, A.T @ A
    np.testing.assert_allclose(printed, [[5.0, 0.9], [0.9, 0.26]])
    np.testing.assert_allclose(right, [[1.01, 1.95], [1.95, 4.25]])
    assert np.trace(printed) == pytest.approx(np.trace(right))
    assert np.linalg.det(printed) == pytest.approx(np.linalg.det(right))
    apart = np.linalg.norm(printed - right) / np.linalg.norm(right)
    assert apart == pytest.approx(1.13, abs=0.005)
    drawn = np.random.default_rng(0).standard_normal((100_000, 2)) @ A + [1, 2]
    np.testing.assert_allclose(np.cov(drawn.T), right, rtol=0.02)


def near(row):
    """Whether a run has found the Gaussian, and the two can no longer be told apart."""
    return (
        row["valid_mean_error"] < 0.15
        and row["valid_covariance_error"] < 0.25
        and 0.4 <= row["valid_discriminator_accuracy"] <= 0.6
    )


@pytest.mark.slow
def test_nine_of_ten_seeds_find_the_gaussian(registry, tmp_path, monkeypatch):
    monkeypatch.setattr("dope.plugins.generative.gan.GAN.sample", lambda *given: None)
    rows = [
        run(registry, tmp_path / str(seed), "quick", seed).directory.metrics()[-1]
        for seed in range(10)
    ]
    assert sum(near(row) for row in rows) >= 9, rows


@pytest.mark.slow
def test_a_critic_with_bounded_slopes_finds_all_of_the_ring(registry, tmp_path):
    found = run(
        registry,
        tmp_path,
        "quick",
        dataset={"name": "generative.ring", "n": 5000},
        model={"generator": [64, 64], "discriminator": [64, 64], "latent": 8},
        loss="generative.wasserstein",
        task={"slope_penalty": 3.0, "discriminator_rate": 3.0},
        optimizer={"name": "adam", "learning_rate": 0.003, "beta1": 0.5},
        trainer={"epochs": 100, "evaluate_every": 50},
    )
    row = found.directory.metrics()[-1]
    assert row["valid_modes"] == 8 and row["valid_hits"] > 0.5
    assert row["valid_covariance_error"] < 0.15
