"""The networks that answer questions, and the task: against NumPy, in runs, on the command line.

Holds no arithmetic of sketches and no data; those are in the other files of this name.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dope
from dope.cli import cli
from dope.core.backend import mx, nd
from dope.core.errors import ConfigError
from dope.plugins.vision import vqa_plots
from dope.plugins.vision.bilinear import Bilinear
from dope.plugins.vision.scenes import Scenes
from dope.plugins.vision.vqa_concat import Answerer, Concatenation
from dope.plugins.vision.vqa_encoders import Reading, Sight

FEATURES = SimpleNamespace(
    each=1, vocabulary=None, image_shape=(7,), question_units=5, classes=["a", "b", "c"]
)


def ready(net):
    net.initialize()
    return net


def named(net):
    return {
        k: p.data().asnumpy().astype(float) for k, p in net._collect_params_with_prefix().items()
    }


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def rest(p, z):
    """Hidden layer, normalization by moving averages, and output, written out."""
    z = np.maximum(z @ p["hidden.weight"].T + p["hidden.bias"], 0)
    z = (z - p["norm.running_mean"]) / np.sqrt(p["norm.running_var"] + 1e-5)
    z = z * p["norm.gamma"] + p["norm.beta"]
    return z @ p["output.weight"].T + p["output.bias"]


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 7)), rng.standard_normal((4, 5))


@pytest.mark.parametrize("hybrid", [False, True])
def test_concatenation_written_out(inputs, hybrid):
    net = ready(Concatenation(FEATURES, hidden=6))
    net.hybridize(hybrid)
    x, y = inputs
    found = net(nd.array(x), nd.array(y[:, None])).asnumpy()
    wanted = rest(named(net), np.concatenate([unit(x), unit(y)], axis=1))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("ones", [False, True])
@pytest.mark.parametrize("hybrid", [False, True])
def test_bilinear_written_out(inputs, hybrid, ones):
    net = ready(Bilinear(FEATURES, hidden=6, sketch=16, ones=ones))
    net.hybridize(hybrid)
    x, y = inputs
    found = net(nd.array(x), nd.array(y[:, None])).asnumpy()
    p, z = named(net), np.zeros((4, 16))
    x, y = ((np.c_[unit(a), np.ones(4)] if ones else unit(a)) for a in (x, y))
    for i in range(x.shape[1]):
        for j in range(y.shape[1]):
            bucket = int(p["image_buckets"][i] + p["question_buckets"][j]) % 16
            sign = p["image_signs"][i] * p["question_signs"][j]
            z[:, bucket] += sign * x[:, i] * y[:, j]
    np.testing.assert_allclose(found, rest(p, z), atol=1e-5)


def test_blind_networks_see_one_sense_only(inputs):
    x, y = inputs
    net = Bilinear(FEATURES, hidden=6, sketch=16)
    image, question = ready(net.alone("image")), ready(net.alone("question"))
    assert type(image) is Answerer and image.senses == ["image"]
    wanted = rest(named(image), unit(x))
    np.testing.assert_allclose(image(nd.array(x)).asnumpy(), wanted, atol=1e-5)
    found = question(nd.array(y[:, None])).asnumpy()
    np.testing.assert_allclose(found, rest(named(question), unit(y)), atol=1e-5)


def test_hashes_are_constants_and_not_drawn_at_a_forward(inputs):
    net = ready(Bilinear(FEATURES, hidden=6, sketch=16, dropout=0.0))
    before, (x, y) = named(net), inputs
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    for _ in range(3):
        with mx.autograd.record():
            loss = net(nd.array(x), nd.array(y[:, None])).square().sum()
        loss.backward()
        trainer.step(4)
    after = named(net)
    for key in before:
        same = (before[key] == after[key]).all()
        assert same == key.endswith(("buckets", "signs")), key
    assert len({tuple(before[k]) for k in before if k.endswith("signs")}) == 2
    first, again = (net(nd.array(x), nd.array(y[:, None])).asnumpy() for _ in range(2))
    assert (first == again).all()


def test_questions_about_one_image_are_answered_one_by_one():
    data = Scenes(train=3, size=18)
    net = ready(Concatenation(data, hidden=6, channels=(4, 4), words=5, states=6))
    part = data.split("train")
    x, q = nd.array(data.to_input(part.images)), nd.array(part.questions)
    whole = net(x, q).asnumpy().reshape(3, 6, -1)
    turned = net(x, nd.array(part.questions[:, ::-1].copy())).asnumpy().reshape(3, 6, -1)
    np.testing.assert_allclose(turned[:, ::-1], whole, atol=1e-5)
    other = part.questions.copy()
    other[0, 0] = other[1, 3]
    changed = net(x, nd.array(other)).asnumpy().reshape(3, 6, -1)
    differs = np.abs(changed - whole).max(axis=2) > 1e-6
    assert differs[0, 0] and differs.sum() == 1


def test_encoders_have_the_lengths_that_they_say():
    sight = ready(Sight((3, 21, 18), (4, 6), batch_norm=True))
    assert sight(nd.ones((2, 3, 21, 18))).shape == (2, sight.units) and sight.units == 6 * (
        6 * 5 + 1
    )
    maps = sight.maps(nd.ones((2, 3, 21, 18))).asnumpy()
    assert maps.shape == (2, 6, 6, 5)
    words = nd.array([[0, 0, 1, 2], [0, 0, 2, 1]])
    for kind in ("lstm", "bag"):
        reading = ready(Reading(4, kind, 3, 5))
        found = reading(words).asnumpy()
        assert found.shape == (2, reading.units)
        assert np.allclose(found[0], found[1], atol=1e-7) == (kind == "bag")
    vectors = reading.embedding.weight.data().asnumpy()
    np.testing.assert_allclose(found[0], vectors[1] + vectors[2], atol=1e-6)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (Concatenation, {"hidden": 0}),
        (Concatenation, {"channels": ()}),
        (Concatenation, {"dropout": 1.0}),
        (Concatenation, {"words": 0}),
        (Bilinear, {"sketch": 1}),
        (Bilinear, {"states": 0}),
    ],
)
def test_options_out_of_range_are_refused(model, options):
    with pytest.raises(ConfigError, match=f"model.{next(iter(options))}"):
        model(FEATURES, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dope.run("vision.vqa", profile="tiny", runs=tmp_path_factory.mktemp("runs"))


def test_report_compares_with_blind_networks_by_kind(run):
    table = run.metrics["accuracy_by_kind"]
    assert list(table)[-1] == "all" and table["all"]["questions"] == 72
    columns = ["model", "image_only", "question_only", "most_frequent", "questions"]
    assert all(list(row) == columns for row in table.values())
    kinds = [table[k] for k in table if k != "all"]
    for who in columns[:-1]:
        mean = sum(row[who] * row["questions"] for row in kinds) / 72
        assert table["all"][who] == pytest.approx(mean)
    # the last evaluation and the report measure the same, both in prediction mode
    assert run.metrics["test_accuracy"] == pytest.approx(table["all"]["model"], abs=1e-6)
    for name in ("kinds", "answers", "confusion", "curves"):
        with Image.open(run.path / "plots" / f"{name}.png") as picture:
            assert min(picture.size) > 200


def test_held_out_answers_are_the_same_each_time(run, tmp_path):
    rows = dope.predict(run.path)["rows"]
    assert rows == dope.predict(run.path)["rows"] and len(rows) == 72
    right = np.mean([row["answer"] == row["is"] for row in rows])
    assert right == pytest.approx(run.metrics["accuracy_by_kind"]["all"]["model"])
    assert all(row["probability"] >= row["probability_2"] > 0 for row in rows)


def test_the_command_line_answers_questions(run, tmp_path):
    part = Scenes(train=48, valid=12, test=12, size=18).split("test")
    file = tmp_path / "scene.png"
    Image.fromarray(np.moveaxis(part.images[0], 0, -1)).save(file)

    def ask(*words):
        done = CliRunner().invoke(cli, ["predict", str(run.path), *words, "--json"])
        return done.exit_code, done.output

    questions = ["how many red discs?", "is there a blue square", *part.texts[0]]
    code, said = ask("--image", str(file), "--question", *questions)
    assert code == 0, said
    rows = json.loads(said)["rows"]
    assert [row["question"] for row in rows] == questions
    known = [row for row in dope.predict(run.path)["rows"] if row["image"] == 0]
    for row, held in zip(rows[2:], known):  # the same image and words: the same answers
        assert row["answer"] == held["answer"]
        assert row["probability"] == pytest.approx(held["probability"], rel=1e-4)
    code, said = ask("--image", str(file), "--question", "how many purple discs?")
    assert code == 2 and "'purple'" in said and "It knows: " in said
    code, said = ask("--image", str(file))
    assert code == 2 and "--question is missing" in said
    code, said = ask("--question", "how many discs")
    assert code == 2 and "--image is missing" in said


def test_hashes_are_in_the_checkpoint_and_come_back(run):
    (file,) = sorted((run.path / "checkpoints").glob("**/*.npz"))[-1:]
    with np.load(file, allow_pickle=False) as saved:
        keys = [key for key in saved.files if key.endswith(("buckets", "signs"))]
        kept = {key.rpartition(".")[2]: saved[key] for key in keys}
    assert len(kept) == 4 and kept["image_buckets"].max() < 48
    np.random.seed(99)
    again = dope.load(run.path)
    for key, value in kept.items():
        assert (getattr(again.nets["net"], key).data().asnumpy() == value).all()


def test_archives_are_learned_without_pictures(tmp_path):
    rng = np.random.default_rng(0)
    for stem, count in (("train", 40), ("val", 12)):
        answers = np.arange(count) % 3
        images = rng.standard_normal((count, 6)) + 2 * np.eye(6)[answers]
        np.savez(tmp_path / f"{stem}_img.npz", x=images)
        np.savez(tmp_path / f"{stem}_question.npz", x=rng.standard_normal((count, 5)))
        np.savez(tmp_path / f"{stem}_ans.npz", x=answers)
    run = dope.run(
        "vision.vqa",
        dataset={"name": "vision.vqa_archive", "path": str(tmp_path)},
        model={"name": "vision.vqa_bilinear", "sketch": 32, "hidden": 16},
        trainer={"epochs": 15, "batch_size": 8},
        optimizer={"name": "adam", "learning_rate": 0.01},
        runs=tmp_path / "runs",
    )
    table = run.metrics["accuracy_by_kind"]["all"]
    assert table["questions"] == 12 and table["model"] > 0.6
    assert table["image_only"] > 0.6 and table["question_only"] < 0.6
    with pytest.raises(ConfigError, match="reads neither images nor words"):
        dope.predict(run.path, questions=["what?"], images=["x.png"])
    assert not (run.path / "plots" / "answers.png").exists()


def test_pictures_are_drawn_with_few_columns_and_images(tmp_path):
    table = {"all": {"model": 1.0, "most_frequent": 0.25, "questions": 3}}
    assert vqa_plots.by_kind(tmp_path / "a.png", table).is_file()
    told = [[vqa_plots.Told("is it", "yes", 1.0, "no")]]
    image = np.zeros((1, 3, 8, 8), np.uint8)
    assert vqa_plots.answers(tmp_path / "b.png", image, told).is_file()
