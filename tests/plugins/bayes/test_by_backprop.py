"""Bayes by Backprop as it is run: shares of the divergence, figures, pruning, the band, MNIST.

The tests on MNIST are slow and need its files.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import dope
from dope.core.backend import nd
from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError
from dope.plugins.bayes import figures, outside, pruning
from dope.plugins.bayes.by_backprop import Shared
from dope.plugins.bayes.curve import Curve
from dope.plugins.bayes.variational import Variational
from dope.plugins.tabular.dense import MLP

SHARED = Path(os.environ.get("DOPE_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
needs_mnist = pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="needs the MNIST files")


def shares(weighting, n=25, size=10):
    batches = Shared(ArrayBatches((np.zeros((n, 1)), np.zeros(n)), size), weighting, 1.0)
    return [share.asnumpy() for _, _, share in batches.epoch(None)], batches


def test_an_epochs_shares_of_the_divergence_add_up_to_one():
    even, _ = shares("even")
    np.testing.assert_allclose(np.concatenate(even), np.full(25, 1 / 25), rtol=1e-6)
    paper, batches = shares("paper")
    sums = [each.sum() for each in paper]
    np.testing.assert_allclose(sums, [4 / 7, 2 / 7, 1 / 7], rtol=1e-6)  # 2^(3-i) / (2^3 - 1)
    assert [len(each) for each in paper] == [10, 10, 5]
    resumed = [share.asnumpy() for _, _, share in batches.epoch(None, 1)]
    np.testing.assert_array_equal(np.concatenate(resumed), np.concatenate(paper[1:]))
    many, _ = shares("paper", 3000, 1)  # 2^3000 is no float
    assert np.concatenate(many).sum() == pytest.approx(1)


def test_entropy_splits_into_what_data_would_settle_and_what_not():
    p = np.array([[[1.0, 0.0], [0.5, 0.5], [0.9, 0.1]], [[0.0, 1.0], [0.5, 0.5], [0.9, 0.1]]])
    found = figures.uncertainty(p)
    tenth = -0.9 * np.log(0.9) - 0.1 * np.log(0.1)
    np.testing.assert_allclose(found.total, [np.log(2), np.log(2), tenth])
    np.testing.assert_allclose(found.epistemic, [np.log(2), 0, 0], atol=1e-12)


def test_calibration_error_by_hand():
    p = np.array([[0.9, 0.1], [0.92, 0.08], [0.4, 0.6], [0.45, 0.55]])
    labels = np.array([0, 1, 1, 1])
    # bins of a tenth, (a, b]: 0.9 alone, right; 0.92 alone, wrong; 0.6 and 0.55, both right
    expected = (0.1 + 0.92 + 2 * (1 - 0.575)) / 4
    assert figures.calibration_error(p, labels, bins=10) == pytest.approx(expected)
    assert figures.log_loss(p, labels) == pytest.approx(-np.log([0.9, 0.08, 0.6, 0.55]).mean())


def test_calibration_error_of_a_calibrated_forecaster_is_small():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(5), 50_000)
    labels = (p.cumsum(axis=1) < rng.random((50_000, 1))).sum(axis=1)
    assert figures.calibration_error(p, labels) < 0.01
    assert figures.calibration_error(p**3 / (p**3).sum(1, keepdims=True), labels) > 0.1


def test_area_counts_pairs():
    inside, outer = np.array([0.1, 0.4, 0.4]), np.array([0.4, 0.9])
    pairs = [(a < b) + 0.5 * (a == b) for a in inside for b in outer]
    assert figures.area(inside, outer) == pytest.approx(np.mean(pairs))


def test_pruning_takes_the_noisiest_first_and_leaves_the_network_alone():
    net = Variational(MLP(Curve(), hidden=(3,)), (1, 1))
    net.initialize()
    rng = np.random.default_rng(0)
    net.set_means(np.arange(1, 11, dtype="float32"))
    for p in net.rho.collect_params().values():
        p.set_data(nd.array(rng.uniform(-3, 3, p.shape)))
    mean, deviation = net.moments()
    zeros = []

    def judge():
        zeros.append(np.flatnonzero(net.moments()[0] == 0))
        return float(len(zeros[-1]))

    found = pruning.curve(net, judge, (0.0, 0.3, 0.5))
    assert found == [(0.0, 0.0), (0.3, 3.0), (0.5, 5.0)]
    assert set(zeros[2]) == set(np.argsort(mean / deviation)[:5])
    np.testing.assert_array_equal(net.moments()[0], mean)


def test_pictures_from_outside():
    x = [np.linspace(-1, 3, 5 * 64, dtype="float32").reshape(5, 1, 8, 8)]
    found = outside.pictures(x)
    np.testing.assert_allclose(found["inverted"][0], 2 - x[0], atol=1e-6)
    letters = found["letters"][0]
    assert letters.shape == x[0].shape and letters.min() == -1 and letters.max() > 2
    assert outside.pictures([np.zeros((4, 3), "float32")]) == {}


def test_curve_is_the_papers():
    x, y = Curve(noise=0.0, train=50).split("train")
    x = x[:, 0].astype(float)
    expected = x + 0.3 * np.sin(2 * np.pi * x) + 0.3 * np.sin(4 * np.pi * x)
    np.testing.assert_allclose(y, expected, atol=1e-6)
    x, y = Curve().split("test")
    assert x.min() >= 0 and x.max() <= 0.5 and Curve().split("valid") is None
    for wrong in ({"train": 0}, {"noise": -1.0}, {"seed": -1}):
        with pytest.raises(ConfigError):
            Curve(**wrong)


def test_classes_and_numbers_are_not_mixed_up(tmp_path):
    with pytest.raises(ConfigError, match=r"bayes\.curve has no classes"):
        dope.run("bayes.by_backprop", dataset="bayes.curve", model="tabular.mlp", runs=tmp_path)


def test_quick_regression_knows_what_it_has_not_seen(tmp_path):
    run = dope.run("bayes.regression", trainer={"epochs": 60, "evaluate_every": 60}, runs=tmp_path)
    assert run.metrics["test_rmse"] < 0.1  # of which about 0.07 is noise
    assert 0.8 < run.metrics["test_coverage_90"] <= 1
    assert run.metrics["deviation_outside"] > 2 * run.metrics["deviation_inside"]
    assert (run.path / "plots" / "band.png").stat().st_size > 10_000
    row = run.predict()["rows"][0]
    assert row["deviation"] == pytest.approx(np.hypot(row["epistemic"], 0.07))


def test_a_run_reports_and_predicts(tmp_path):
    run = dope.run("bayes.by_backprop", profile="tiny", runs=tmp_path)
    for name in ("calibration", "entropy", "pruning"):
        assert (run.path / "plots" / f"{name}.png").is_file()
    assert {"nll", "kl", "loss", "test_nll", "test_calibration_error"} <= set(run.metrics)
    assert run.metrics["loss"] == pytest.approx(
        run.metrics["nll"] + run.metrics["kl"] / 200, rel=1e-5
    )
    rows = run.predict()["rows"]
    assert len(rows) == 359 and all(0 <= r["mutual_information"] <= r["entropy"] for r in rows)


@pytest.mark.slow
@needs_mnist
def test_mnist(tmp_path):
    """8,000 images to learn from, 2,000 others: against the plain network of the same size."""
    data = mnist(tmp_path / "mnist")
    common = {
        "model": {"name": "vision.mlp", "hidden": [400, 400]},
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "trainer": {"epochs": 30, "batch_size": 128, "evaluate_every": 30, "schedule": "cosine"},
        "dataset": {"name": "vision.mnist", "path": str(data)},
        "runs": tmp_path,
    }
    plain = dope.run("vision.mlp", **common)
    bayes = dope.run(
        "bayes.by_backprop", task={"sigma": 0.2, "local": True, "strength": 0.05}, **common
    )
    batches = list(plain.task.data("test"))
    labels = np.concatenate([y.asnumpy() for _, y in batches]).astype(int)
    p = np.concatenate([plain.nets(x).softmax().asnumpy() for x, _ in batches])
    error = figures.calibration_error(p, labels)
    found = {k: v for k, v in bayes.metrics.items() if not isinstance(v, str)}
    print({"plain accuracy": plain.metrics["test_accuracy"], "plain ece": error, **found})
    assert found["test_accuracy"] >= plain.metrics["test_accuracy"] - 0.005
    assert found["test_calibration_error"] < error
    assert found["accuracy_pruned_75"] > found["accuracy_of_means"] - 0.01
    assert max(found["auroc_inverted"], found["auroc_letters"]) >= 0.9


def mnist(folder: Path) -> Path:
    """The files of t10k as a data set: the first 8,000 images to learn from, the rest to test."""
    import gzip
    import struct

    folder.mkdir()
    for kind, head in (("images-idx3", 16), ("labels-idx1", 8)):
        raw = gzip.decompress((SHARED / "mnist" / f"t10k-{kind}-ubyte.gz").read_bytes())
        size = (len(raw) - head) // 10_000
        body = raw[head:]
        for part, rows in (("train", body[: 8000 * size]), ("t10k", body[8000 * size :])):
            count = struct.pack(">i", len(rows) // size)
            (folder / f"{part}-{kind}-ubyte").write_bytes(raw[:4] + count + raw[8:head] + rows)
    return folder
