"""The task that fine-tunes: its phases, what it freezes, its figures, and what transfer is worth.

Holds no networks and no files of images. Figures were made by scikit-learn 1.9 (f1_score,
average_precision_score, compute_class_weight) on the labels and probabilities of `judged`.
"""

from __future__ import annotations

import functools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dope
from dope.cli import cli
from dope.core import api
from dope.core.backend import mx, nd
from dope.core.data import ArrayBatches
from dope.core.engine import Engine
from dope.core.errors import ConfigError
from dope.core.task import parameters
from dope.plugins.vision import finetune_plots, finetune_scores
from dope.plugins.vision.finetune import FineTuning
from dope.plugins.vision.finetune_net import SmallNet
from dope.plugins.vision.finetune_phases import Phases, weighted
from dope.plugins.vision.glyphs import Glyphs

SMALL = {"channels": (4, 8), "dropout": 0.0}


def judged():
    rng = np.random.RandomState(0)
    y = rng.choice(4, 60, p=[0.5, 0.3, 0.15, 0.05])
    p = rng.dirichlet(np.ones(4) * 0.6, 60)
    p[np.arange(60), y] += 0.35
    return y, np.round(p / p.sum(1, keepdims=True), 1)


def test_f1_is_that_of_scikit_learn():
    y, p = judged()
    scores = finetune_scores.f1_scores(finetune_scores.counted(y, p.argmax(1), 4))
    np.testing.assert_allclose(scores, [0.792453, 0.540541, 0.526316, 0.181818], atol=1e-6)
    assert finetune_scores.macro(scores) == pytest.approx(0.510282, abs=1e-6)
    wider = finetune_scores.f1_scores(finetune_scores.counted(y, p.argmax(1), 6))
    assert np.isnan(wider[4:]).all() and finetune_scores.macro(wider) == pytest.approx(0.510282)
    missed = finetune_scores.f1_scores(np.array([[3, 0], [2, 0]]))
    assert missed.tolist() == [0.75, 0.0]


def test_average_precision_is_that_of_scikit_learn_with_ties():
    y, p = judged()
    curves = [finetune_scores.precision_recall(y == k, p[:, k]) for k in range(4)]
    wanted = [0.875648, 0.751486, 0.628389, 0.20406]
    np.testing.assert_allclose([c.average for c in curves], wanted, atol=1e-6)
    assert [c.total for c in curves] == np.bincount(y).tolist()
    for k, curve in enumerate(curves):
        for threshold, recall, precision in zip(
            sorted(set(p[:, k]), reverse=True), curve.recall, curve.precision
        ):
            taken = p[:, k] >= threshold
            assert recall == pytest.approx((taken & (y == k)).sum() / (y == k).sum())
            assert precision == pytest.approx((y[taken] == k).mean())
    assert np.isnan(finetune_scores.precision_recall(np.zeros(3, bool), np.ones(3)).average)


def test_balanced_weights_are_those_of_scikit_learn():
    found = finetune_scores.balanced(judged()[0], 4)
    np.testing.assert_allclose(found, [0.555556, 0.625, 2.5, 5.0], atol=1e-6)
    assert finetune_scores.balanced(np.array([0, 0]), 3).tolist() == [1 / 3, 1, 1]


def test_precision_is_read_off_a_curve():
    curve = finetune_scores.Curve(np.array([0.5, 1.0]), np.array([1.0, 0.6]), 0.8, 2)
    assert finetune_plots.reached(curve, np.array([0, 0.5, 0.51, 1])).tolist() == [1, 1, 0.6, 0.6]


def rows(n, start=0):
    return [np.arange(start, start + n), np.zeros(n)]


@pytest.mark.parametrize("old, new, length", [(10, 3, 10), (3, 10, 10), (4, 6, 6), (25, 8, 26)])
def test_epochs_of_both_phases_have_one_length(old, new, length):
    early = [True]
    phases = Phases(
        ArrayBatches(rows(old), 2, shuffle=True),
        ArrayBatches(rows(new, 100), 2, shuffle=True),
        lambda: early[0],
    )
    steps = -(-old // 2), -(-new // 2)
    assert len(phases) == max(1, round(steps[0] / steps[1])) * steps[1]
    for early[0] in (True, False):
        whole = [b[0].asnumpy().tolist() for b in phases.epoch(np.random.default_rng(3))]
        assert len(whole) == len(phases)
        assert all((row >= 100) != early[0] for batch in whole for row in batch)
        for skip in (1, len(whole) - 1):
            rest = phases.epoch(np.random.default_rng(3), skip)
            assert [b[0].asnumpy().tolist() for b in rest] == whole[skip:]


def test_weights_are_those_of_the_classes():
    labels = np.array([2, 0, 1, 2], np.int32)
    batches = ArrayBatches([np.zeros((4, 2)), labels], 4, transform=lambda a, rng: a)
    _, y, w = next(iter(weighted(batches, np.array([0.5, 1.0, 3.0]))))
    assert w.asnumpy().tolist() == [3.0, 0.5, 1.0, 3.0] and y.asnumpy().tolist() == [2, 0, 1, 2]


def task_of(optimizer=None, epochs=3, model=SmallNet, dataset=None, **options):
    """A task on three letters, composed by hand."""
    task = FineTuning(**options)
    task.dataset = dataset or Glyphs(
        size=32, classes=3, each=6, valid_each=2, test_each=2, source_classes=4, source_each=5
    )
    task.model = lambda data, **more: model(data, **{**SMALL, **more})
    task.criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    task.optimizer = optimizer or {"name": "sgd", "learning_rate": 0.1}
    task.options = SimpleNamespace(clip=None, batch_size=6, epochs=epochs, accumulate=1)
    task.parts = {"model": "m", "dataset": "d"}
    return task


def engine_of(task):
    mx.random.seed(4)
    task.prepare()
    nets = task.build()
    return Engine(nets, task.groups(nets), [mx.cpu(0)])


def values(net):
    return {name: p.data().asnumpy() for name, p in parameters(net).items()}


def moved(before, after):
    return {name for name in before if (before[name] != after[name]).any()}


def test_phases_change_what_they_should_and_nothing_else():
    task = task_of(pretrain_epochs=1, scratch=True)
    engine = engine_of(task)
    batches = task.data("train")
    assert len(batches) == 3  # 18 images; of the other 20, the last two come next time
    heads = {"output.weight", "output.bias"}
    before = {name: values(net) for name, net in engine.nets.items()}
    names = set()
    for batch in batches.epoch(np.random.default_rng(0)):
        assert batch[1].max().asscalar() <= 3
        names |= set(task.step(engine, batch))
    after = {name: values(net) for name, net in engine.nets.items()}
    assert names == {"source_loss", "source_accuracy"}
    assert not moved(before["scratch"], after["scratch"])
    changed = moved(before["net"], after["net"])
    assert changed == set(before["net"]) - heads and len(moved(before["source"], after["source"]))
    assert set(task.evaluate(engine)) == {"valid_source_loss", "valid_source_accuracy"}
    for batch in batches.epoch(np.random.default_rng(0)):
        names |= set(task.step(engine, batch))
    last = {name: values(net) for name, net in engine.nets.items()}
    assert {"loss", "accuracy", "scratch_loss", "scratch_accuracy"} <= names
    assert heads <= moved(after["net"], last["net"])
    assert moved(after["scratch"], last["scratch"]) == set(last["scratch"])
    assert not moved(after["source"], last["source"])
    assert {"valid_f1", "test_f1", "test_scratch_f1", "valid_loss"} <= set(task.evaluate(engine))


@pytest.mark.parametrize("freeze, still", [("none", ()), ("body", (0, 1)), (1, (0,))])
def test_frozen_layers_keep_their_bits(freeze, still):
    task = task_of(freeze=freeze)
    engine = engine_of(task)
    before = values(engine.nets["net"])
    for batch in task.data("train"):
        task.step(engine, batch)
    held = {n for n in before if n.startswith(tuple(f"features.{i}." for i in still))}
    assert moved(before, values(engine.nets["net"])) == set(before) - held
    assert bool(held) == bool(still)


def test_the_body_moves_by_its_share_of_the_rate():
    found = {}
    for rate in (1.0, 0.25):
        task = task_of(body_rate=rate)
        engine = engine_of(task)
        before = values(engine.nets["net"])
        task.step(engine, next(iter(task.data("train"))))
        after = values(engine.nets["net"])
        found[rate] = {n: after[n] - before[n] for n in before if "running" not in n}
    for name, whole in found[1.0].items():
        share = 0.25 if name.startswith("features.") else 1.0
        np.testing.assert_allclose(found[0.25][name], share * whole, rtol=2e-3, atol=2e-7)


def test_pretraining_has_the_whole_rate_and_fine_tuning_its_share():
    task = task_of(pretrain_epochs=1, body_rate=0.0)
    engine = engine_of(task)
    batches = task.data("train")
    for step, batch in enumerate([*batches.epoch(), *batches.epoch()]):
        before = values(engine.nets["net"].features)
        task.step(engine, batch)
        changed = {n for n in moved(before, values(engine.nets["net"].features)) if "run" not in n}
        assert bool(changed) == (step < len(batches))


def test_losses_are_weighted_by_class_and_accuracy_is_not():
    plain, heavy = task_of(), task_of(class_weights=[1.0, 2.0, 5.0])
    engine = engine_of(plain)
    images, labels, weights = next(iter(heavy_batches(heavy, engine)))
    one = plain._judged(engine.nets["net"], (images, labels))
    other = heavy._judged(engine.nets["net"], (images, labels, weights))
    by = np.array([1.0, 2.0, 5.0])[labels.asnumpy().astype(int)]
    np.testing.assert_allclose(other["loss"].asnumpy(), by * one["loss"].asnumpy(), rtol=1e-6)
    assert (other["accuracy"] == one["accuracy"]).asnumpy().all()
    balanced = task_of(class_weights="balanced")
    balanced.build()
    assert next(iter(balanced.data("train")))[2].asnumpy().tolist() == [1.0] * 6


def heavy_batches(task, engine):
    task.prepare()
    task._net = engine.nets["net"]
    return task.data("valid")


def test_figures_are_those_of_its_predictions():
    task = task_of(scratch=True, positive="tu")
    task.dataset.classes = ["ta", "te", "tu"]
    engine = engine_of(task)
    task.step(engine, next(iter(task.data("train"))))
    found = task.evaluate(engine)
    pixels, labels = task.dataset.split("test")
    for name, key in (("net", "test_"), ("scratch", "test_scratch_")):
        scores = engine.nets[name](nd.array(task.dataset.to_input(pixels))).asnumpy()
        guess = scores.argmax(1)
        assert found[f"{key}accuracy"] == pytest.approx((guess == labels).mean())
        logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        loss = -logs[np.arange(len(labels)), labels].mean()
        assert found[f"{key}loss"] == pytest.approx(loss, rel=1e-4)
        hit = ((guess == 2) & (labels == 2)).sum()
        assert found[f"{key}f1"] == pytest.approx(
            2 * hit / max(1, (guess == 2).sum() + (labels == 2).sum())
        )


def test_given_parameters_leave_pretraining_out(tmp_path):
    given = engine_of(task_of()).nets["net"]
    given.save_parameters(str(tmp_path / "net.params"))

    task = task_of(pretrain_epochs=2, scratch=True, epochs=1)
    task.model = functools.partial(SmallNet, params=tmp_path / "net.params", **SMALL)
    engine = engine_of(task)
    assert set(engine.nets) == {"net", "scratch"} and set(task.groups(engine.nets)) == {
        "main",
        "scratch",
    }
    batches = task.data("train")
    assert isinstance(batches, ArrayBatches) and len(batches) == 3
    bodies = [values(net.features) for net in (engine.nets["net"], given, engine.nets["scratch"])]
    assert not moved(bodies[0], bodies[1])
    assert any("weight" in name for name in moved(bodies[0], bodies[2]))
    task.step(engine, next(iter(batches)))
    here = values(engine.nets["net"])
    task.data("train")  # asked again later, it does not begin anew
    assert not moved(here, values(engine.nets["net"]))


def test_the_position_is_kept():
    task = task_of(pretrain_epochs=1)
    engine = engine_of(task)
    task.step(engine, next(iter(task.data("train"))))
    other = task_of(pretrain_epochs=1)
    engine_of(other)
    other.restore(task.state())
    assert other.state()["steps"].tolist() == [1, 3] and other._early


@pytest.mark.parametrize(
    "options, said",
    [
        ({"pretrain_epochs": -1}, "task.pretrain_epochs"),
        ({"body_rate": -0.1}, "task.body_rate"),
        ({"scratch_rate": 0.0}, "task.scratch_rate"),
        ({"pretrain_rate": 0.0}, "task.pretrain_rate"),
        ({"freeze": -1}, "task.freeze"),
        ({"freeze": 3}, "2 layers with parameters"),
        ({"class_weights": [1.0, 2.0]}, "2 numbers for 3 classes"),
        ({"class_weights": [1.0, 2.0, 0.0]}, "task.class_weights"),
        ({"positive": "nobody"}, "task.positive: 'nobody'"),
        ({"pretrain_epochs": 3}, "leaves none"),
        ({"top": 0}, "task.top"),
    ],
)
def test_impossible_options_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        engine_of(task_of(**options))


def test_nothing_pretrained_is_refused_with_what_to_do():
    data = Glyphs(size=32, classes=3, each=2, source_classes=2, source_each=1)
    data.source = None
    with pytest.raises(ConfigError, match="nothing is pretrained") as caught:
        engine_of(task_of(dataset=data, pretrain_epochs=1))
    assert "model.params=FILE" in caught.value.hint and "pretrain_epochs=0" in caught.value.hint
    engine_of(task_of(dataset=data))  # asked to learn from scratch


def test_a_model_without_two_parts_does_not_fit():
    task = task_of()
    task.model = lambda data: mx.gluon.nn.Dense(3)
    with pytest.raises(ConfigError, match="no features and output"):
        engine_of(task)


def test_at_the_terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = CliRunner()

    def say(*words):
        done = call.invoke(cli, list(words), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    small = ["model=vision.small_net", "model.channels=4,8", "dataset.size=32"]
    say("run", "vision.finetune", "--profile", "tiny", *small)
    (run,) = (tmp_path / "runs").glob("*/*")
    pictures = {path.stem for path in (run / "plots").glob("*.png")}
    assert {"transfer", "precision-recall", "confusion", "curves"} <= pictures
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert (
        set(metrics["test_f1_by_class"]) == set(metrics["test_ap_by_class"]) == {"bo", "bu", "da"}
    )
    image = Glyphs(size=50, classes=2, each=1).split("train")[0][0]
    Image.fromarray(image.transpose(1, 2, 0)).save("letter.png")
    (row,) = json.loads(say("predict", "last", "--input", "letter.png", "--json"))["rows"]
    assert row["image"] == "letter.png" and row["class"] in ("bo", "bu", "da")
    assert sum(row[f"probability{s}"] for s in ("", "_2", "_3")) == pytest.approx(1, abs=1e-5)
    evaluated = json.loads(say("eval", "last", "--json"))
    assert evaluated["test_accuracy"] == pytest.approx(metrics["test_accuracy"])
    say(
        *("run", "vision.finetune", "--profile", "tiny", *small, f"model.params={run}"),
        *("model.reuse=all", "task.freeze=body", "task.class_weights=balanced"),
    )
    lost = call.invoke(
        cli, ["run", "vision.finetune", "--profile", "tiny", *small, "model.params=no"]
    )
    assert lost.exit_code == 2 and "there is no no" in lost.output


@pytest.mark.slow
def test_fine_tuning_beats_learning_from_scratch_by_ten_points(tmp_path):
    gains = []
    for seed in range(5):
        run = dope.run("vision.finetune", seed=seed, dataset={"seed": seed}, runs=tmp_path)
        assert len(run.task.dataset.split("train")[1]) == 20 * len(run.task.dataset.classes)
        gains.append(run.metrics["test_accuracy"] - run.metrics["test_scratch_accuracy"])
    assert np.mean(gains) >= 0.10, gains


def test_the_quick_profile_is_what_the_figures_are_of():
    config = api.resolve(api.discover(), "vision.finetune")
    assert config.options("dataset")["each"] == 20
    assert config.options("task")["scratch"] and config.options("task")["scratch_rate"] == 4.0
