"""The image classifiers as people run them: what they reach, and that nothing of a run is lost.

Holds runs of whole tasks; their models, data sets and plots have files of their own.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dope.core import api
from dope.core.backend import mx, nd, seed, use_threads
from dope.core.callbacks import Callback
from dope.core.configuring.options import TrainerOptions
from dope.core.engine import Engine
from dope.core.rundir import RunDirectory
from dope.core.task import Group, Task, parameters
from dope.core.trainer import Trainer
from dope.core.training import checkpoint
from dope.plugins.losses.losses import SoftmaxCrossEntropy
from dope.plugins.vision.alexnet import AlexNet
from dope.plugins.vision.cnn import CNN
from dope.plugins.vision.digits import Digits
from dope.plugins.vision.images import ImageSet
from dope.plugins.vision.mlp import MLP
from dope.plugins.vision.softmax import Softmax
from dope.plugins.vision.vgg import VGG

SHARED = Path(os.environ.get("DOPE_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
IMAGES = SimpleNamespace(shape=(1, 16, 16), classes=list("0123456789"))


@pytest.fixture(autouse=True)
def one_thread():
    """Arrays this small are quicker on one thread, above all on a busy machine."""
    use_threads(1)
    yield
    use_threads(None)


@pytest.fixture
def dope(monkeypatch, tmp_path):
    """``dope ARGS`` in this very process."""
    from click.testing import CliRunner

    from dope.cli import cli

    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("DOPE_DEBUG", raising=False)

    def run(*args):
        # click 8.1, the last for Python 3.9, mixes the two streams unless told not to
        options = inspect.signature(CliRunner).parameters
        runner = CliRunner(**({"mix_stderr": False} if "mix_stderr" in options else {}))
        return runner.invoke(cli, [str(arg) for arg in args])

    return run


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Runs of the quick profile, each made once."""
    made = {}

    def run(task):
        if task not in made:
            made[task] = api.run(task, runs=tmp_path_factory.mktemp("quick"))
        return made[task]

    return run


# One context, several, and without compiling


class Stock(Task):
    metrics = ("accuracy",)
    criterion = SoftmaxCrossEntropy()


MODELS = {
    "softmax": lambda: Softmax(IMAGES),
    "softmax-scratch": lambda: Softmax(IMAGES, impl="scratch"),
    "mlp": lambda: MLP(IMAGES),
    "mlp-scratch": lambda: MLP(IMAGES, impl="scratch"),
    "cnn": lambda: CNN(IMAGES, channels=(8, 16), dense=32),
    "cnn-scratch": lambda: CNN(IMAGES, channels=(8, 16), dense=32, impl="scratch"),
    "alexnet": lambda: AlexNet(IMAGES, size=195, width=0.02, dropout=0.0),
    "vgg": lambda: VGG(IMAGES, blocks=((1, 8), (2, 16)), dense=16, dropout=0.0),
}


def uneven():
    """Twenty batches of 13 and 12 images, and one of two: fewer than contexts."""
    rng = np.random.default_rng(0)
    sizes = [2 if i == 7 else 12 + i % 2 for i in range(20)]
    return [(rng.random((n, 1, 16, 16)), rng.integers(0, 10, n)) for n in sizes]


def learned(model, contexts, name, dtype, hybridize=True, **options):
    seed(1)
    net = MODELS[model]()
    net.cast(dtype)
    groups = {"main": Group([net], name, options)}
    engine = Engine(net, groups, [mx.cpu(i) for i in range(contexts)], hybridize=hybridize)
    task = Stock()
    losses = []
    for pixels, labels in uneven():
        batch = nd.array(pixels, dtype=dtype), nd.array(labels, dtype=dtype)
        losses.append(engine.minimize("main", task.loss, batch)["loss"].mean())
    for p in parameters(net).values():
        first, *others = (copy.asnumpy() for copy in p.list_data())
        assert all((first == other).all() for other in others)
    return losses, {key: p.data(mx.cpu(0)).asnumpy() for key, p in parameters(net).items()}


WAYS = {"two": (2, True), "three": (3, True), "imperative": (1, False)}
RULES = {
    "sgd": {"learning_rate": 0.05, "momentum": 0.9, "wd": 0.001},
    "adam": {"learning_rate": 0.001},
    "adagrad": {"learning_rate": 0.01},
}


@pytest.mark.parametrize("model", MODELS)
def test_twenty_steps_are_the_same_on_any_contexts_and_imperative(model):
    """In float32 to 1e-6 of the largest entry of each layer."""
    options = {"learning_rate": 0.05, "momentum": 0.5}
    losses, expected = learned(model, 1, "sgd", "float32", **options)
    for way, (contexts, hybridize) in WAYS.items():
        found = learned(model, contexts, "sgd", "float32", hybridize, **options)
        np.testing.assert_allclose(found[0], losses, rtol=1e-5, err_msg=way)
        for key, value in expected.items():
            layer = key.partition(".")[0]  # biases start at zero: their own size says little
            scale = max(abs(v).max() for k, v in expected.items() if k.startswith(f"{layer}."))
            np.testing.assert_allclose(
                found[1][key], value, rtol=0, atol=1e-6 * scale, err_msg=f"{way} {key}"
            )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("model", [m for m in MODELS if m != "alexnet"])
def test_what_is_left_is_rounding(model, rule):
    """In float64 to 1e-12, with any rule.

    In float32 not so: Adam and AdaGrad divide a gradient by its own size, and so a gradient that
    is nothing but rounding moves a parameter as far as any other.
    """
    _, expected = learned(model, 1, rule, "float64", **RULES[rule])
    for way, (contexts, hybridize) in WAYS.items():
        _, found = learned(model, contexts, rule, "float64", hybridize, **RULES[rule])
        for key, value in expected.items():
            np.testing.assert_allclose(
                found[key], value, rtol=0, atol=1e-12 * abs(value).max(), err_msg=f"{way} {key}"
            )


# Killed, and resumed


class Killed(BaseException):
    """In place of SIGKILL: nothing is saved on the way out."""


class Kill(Callback):
    def __init__(self, step):
        self.last = step

    def on_step_end(self, trainer):
        if trainer.total_steps == self.last:
            raise Killed


NETS = {
    "vision.cnn": ["model.batch_norm=true"],
    "vision.mlp": ["model.dropout=0.5"],
}
OPTIMIZERS = {
    "sgd": ["optimizer=sgd", "optimizer.learning_rate=0.05", "optimizer.momentum=0.9"],
    "adam": ["optimizer=adam", "optimizer.learning_rate=0.003"],
    "adagrad": ["optimizer=adagrad", "optimizer.learning_rate=0.02"],
}
OFTEN = ["trainer.checkpoint_every=3 steps", "trainer.batch_size=32", "dataset.valid=0.2"]


def final_arrays(run):
    last = max(p for p in (run / "checkpoints").glob("*.npz") if p.stem != "best")
    with np.load(last) as file:
        return {key: file[key].tobytes() for key in file.files}


@pytest.mark.parametrize("contexts", ["cpu(0)", "cpu(0),cpu(1)"], ids=["one", "two"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("task", NETS)
def test_killed_in_mid_epoch_and_resumed_it_ends_with_the_same_bits(
    task, optimizer, contexts, tmp_path, monkeypatch
):
    monkeypatch.setattr("dope.core.plots.curves", lambda *args: None)  # pictures are not at issue
    monkeypatch.setattr("dope.plugins.vision.classify.Classifier.report", lambda *args: {})
    settings = [*NETS[task], *OPTIMIZERS[optimizer], *OFTEN]
    given = {"profile": "tiny", "overrides": settings, "seed": 3, "contexts": contexts}
    whole = api.run(task, runs=tmp_path / "whole", **given)
    assert whole.result["steps"] == 10
    with pytest.raises(Killed):  # two steps after a checkpoint, in the second epoch
        api.run(task, runs=tmp_path / "killed", callbacks=[Kill(8)], **given)
    (folder,) = (tmp_path / "killed").glob("*/*")
    assert max(p.stem for p in (folder / "checkpoints").glob("0*.json")) == "000000006"
    again = api.resume(folder)
    assert again.result["status"] == "done"
    assert final_arrays(folder) == final_arrays(whole.path)
    assert again.metrics == whole.metrics
    assert again.directory.metrics() == whole.directory.metrics()


def started(*args):
    """``dope ARGS`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from dope.cli import main; main()", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(*args):
    process = started(*args)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out)


def test_a_killed_process_and_a_resumed_one_end_with_the_same_bits(tmp_path):
    settings = ["--profile", "tiny", "model.batch_norm=true", "optimizer=adam", *OFTEN]
    settings += ["optimizer.learning_rate=0.003", "--quiet", "--json", "--seed", "3"]
    whole = finished("run", "vision.cnn", *settings, "--runs", tmp_path / "whole")
    process = started(
        "run", "vision.cnn", *settings, "trainer.epochs=500", "--runs", tmp_path / "killed"
    )
    began = time.monotonic()
    while not list((tmp_path / "killed").glob("*/*/checkpoints/*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < 60
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    (folder,) = (tmp_path / "killed").glob("*/*")
    first = checkpoint.latest(folder / "checkpoints")[0]
    # where it was killed is a matter of luck: it goes on to the end of that epoch or the second
    epochs = max(2, first.meta["epoch"] + 1)
    again = finished("resume", folder, f"trainer.epochs={epochs}", "--quiet", "--json")
    if epochs > 2:
        more = [*settings, f"trainer.epochs={epochs}"]
        whole = finished("run", "vision.cnn", *more, "--runs", tmp_path / "longer")
    (uninterrupted,) = (tmp_path / ("longer" if epochs > 2 else "whole")).glob("*/*")
    assert final_arrays(folder) == final_arrays(uninterrupted)
    assert again["metrics"] == whole["metrics"]


def test_a_finished_run_takes_more_epochs_and_keeps_its_best(dope, tmp_path):
    where = ["--runs", tmp_path, "--quiet", "--json"]
    short = ["run", "vision.mlp", "--profile", "tiny", "dataset.valid=0.2", *where]
    assert dope(*short).exit_code == 0
    (folder,) = tmp_path.glob("*/*")
    refused = dope("resume", folder)
    assert refused.exit_code == 1 and "trainer.epochs=4" in refused.stderr
    resumed = dope("resume", folder, "trainer.epochs=4", "--quiet", "--json")
    assert resumed.exit_code == 0, resumed.stderr
    assert dope(*short[:-4], *where, "trainer.epochs=4").exit_code == 0
    (longer,) = (path for path in tmp_path.glob("*/*") if path != folder)
    assert final_arrays(folder) == final_arrays(longer)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    best = min(rows, key=lambda row: row["valid_loss"])
    judged = json.loads(dope("eval", folder, "--best", "--json").stdout)
    assert judged["valid_loss"] == pytest.approx(best["valid_loss"], rel=1e-6)
    last = json.loads(dope("eval", folder, "--json").stdout)
    assert last["valid_loss"] == pytest.approx(rows[-1]["valid_loss"], rel=1e-6)


# A learning rate that is too large


SGD, ADAM = "optimizer=sgd", "optimizer=adam"
WILD = {
    "sgd": ([SGD, "optimizer.learning_rate=1e6"], r"loss is (nan|inf) in .*first bad parameter"),
    "adam": ([ADAM, "optimizer.learning_rate=1e20"], r"loss is nan in .*first bad parameter"),
    # one step an epoch: its loss is of the parameters before it
    "last": (
        [SGD, "optimizer.learning_rate=1e38", "optimizer.wd=1e5", "trainer.batch_size=2000"],
        "parameter net.* is not finite",
    ),
}


@pytest.mark.parametrize("case", WILD)
def test_divergence_is_one_line_and_nothing_bad_is_saved(dope, tmp_path, case):
    settings, named = WILD[case]
    args = [*settings, "trainer.epochs=3", "--quiet", "--runs", tmp_path]
    wild = dope("run", "vision.mlp", *args)
    assert wild.exit_code == 1
    (line,) = wild.stderr.splitlines()
    assert re.search(named, line)
    assert re.search(r"epoch 1, step \d+", line) and re.search(r"net\.\d\.(weight|bias)", line)
    assert "Try a smaller optimizer.learning_rate" in line
    (run,) = tmp_path.glob("*/*")
    assert list((run / "checkpoints").iterdir()) == []
    assert json.loads((run / "result.json").read_text())["status"] == "failed"


def test_a_good_run_that_then_diverges_keeps_its_last_good_checkpoint(dope, tmp_path):
    args = ["--profile", "tiny", "optimizer=sgd", "optimizer.learning_rate=0.1", "--quiet"]
    assert dope("run", "vision.mlp", *args, "--runs", tmp_path).exit_code == 0
    (run,) = tmp_path.glob("*/*")
    before = final_arrays(run)
    judged = dope("eval", run, "--json").stdout
    wild = ["optimizer.learning_rate=1e30", "trainer.epochs=9"]
    worse = dope("resume", run, *wild, "--quiet")
    assert worse.exit_code == 1 and "epoch 3, step 4" in worse.stderr and str(run) in worse.stderr
    assert final_arrays(run) == before
    assert dope("eval", run, "--json").stdout == judged
    calm = ["optimizer.learning_rate=0.1", "trainer.epochs=3"]
    assert dope("resume", run, *calm, "--quiet").exit_code == 0


# Memory


def resident():
    """Bytes of this process that lie in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Sizes(Callback):
    def __init__(self):
        self.after = []

    def on_epoch_end(self, trainer, metrics):
        self.after.append(resident())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("shape", [(), (32,)], ids=["softmax", "mlp"])
def test_memory_does_not_grow_after_the_first_epoch(shape, tmp_path):
    """100,000 images of 28 x 28, from bytes to float32 on the way, with checkpoints."""

    class Noise(ImageSet):
        classes = list("0123456789")

        def read(self):
            rng = np.random.default_rng(0)
            pixels = rng.integers(0, 256, (100_000, 1, 28, 28), np.uint8)
            return {"train": (pixels, (pixels[:, 0, 14, 14] // 26).astype(np.int32))}

    class Large(Stock):
        dataset = Noise()
        optimizer = {"name": "adam", "learning_rate": 0.001}
        options = TrainerOptions(epochs=3, batch_size=1000, log_every=10, keep=1)

    task = Large()
    seed(0)
    net = MLP(Noise, hidden=shape)
    engine = Engine(net, task.groups(net), [mx.cpu(0)])
    sizes = Sizes()
    run = RunDirectory.create(tmp_path, "large")
    Trainer(task, engine, task.options, run, callbacks=[sizes]).fit()
    first, *later = sizes.after
    assert max(later) - first < 8 << 20, [size >> 20 for size in sizes.after]


# What a trained run answers


def test_the_perceptrons_reach_0_96_of_the_digits_that_were_held_out(quick):
    assert quick("vision.mlp").metrics["test_accuracy"] >= 0.96


def test_the_convolutions_reach_0_98_of_the_digits_that_were_held_out(quick):
    assert quick("vision.cnn").metrics["test_accuracy"] >= 0.98


def write(folder, pixels, name):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[0]).save(folder / name)
    return folder / name


@pytest.fixture
def pictures(tmp_path):
    """Six held-out digits as PNG files, and what they are."""
    pixels, labels = Digits(size=28).split("test")
    files = [write(tmp_path, pixels[i], f"{i}.png") for i in range(6)]
    return files, [str(label) for label in labels[:6]]


def test_images_are_told_apart_with_probabilities(quick, dope, pictures, monkeypatch):
    files, labels = pictures
    run = quick("vision.cnn").path
    found = dope("predict", run, "--json", "--input", *files)
    assert found.exit_code == 0, found.stderr
    rows = json.loads(found.stdout)["rows"]
    assert [row["image"] for row in rows] == [str(path) for path in files]
    assert [row["class"] for row in rows] == labels
    for row in rows:
        given = [row["probability"], row["probability_2"], row["probability_3"]]
        assert given == sorted(given, reverse=True) and given[0] > 0.5 and sum(given) <= 1 + 1e-6
        assert len({row["class"], row["class_2"], row["class_3"]}) == 3
    monkeypatch.chdir(files[0].parent)
    text = dope("predict", run, "--input", "0.png", "1.png")
    assert text.exit_code == 0, text.stderr
    head, _, *lines = (line.split() for line in text.stdout.splitlines())
    assert head[:3] == ["image", "class", "probability"]
    for i, line in enumerate(lines):
        assert line[:2] == [f"{i}.png", labels[i]] and float(line[2]) > 0.5
    assert len(lines) == 2
    only = dope("predict", run, "task.top=1", "--json", "--input", files[0])
    assert list(json.loads(only.stdout)["rows"][0]) == ["image", "class", "probability"]


def test_an_image_that_is_not_there_is_named(quick, dope, tmp_path):
    found = dope("predict", quick("vision.mlp").path, "--input", tmp_path / "none.png")
    assert found.exit_code == 2 and len(found.stderr.splitlines()) == 1
    assert f"there is no image {tmp_path / 'none.png'}" in found.stderr


def test_probabilities_do_not_depend_on_the_batch_that_an_image_is_in(quick, dope):
    run = quick("vision.mlp").path
    rows = [
        json.loads(dope("predict", run, "--json", f"trainer.batch_size={n}").stdout)["rows"]
        for n in (64, 50)
    ]
    assert len(rows[0]) == len(rows[1]) == 359
    for one, other in zip(*rows):
        assert (one["image"], one["is"], one["class"]) == (
            other["image"],
            other["is"],
            other["class"],
        )
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)
    right = np.mean([row["is"] == row["class"] for row in rows[0]])
    assert right == pytest.approx(quick("vision.mlp").metrics["test_accuracy"], abs=1e-6)


def test_a_run_is_judged_and_predicts_on_a_folder_of_images(quick, dope, tmp_path):
    pixels, labels = Digits(size=28).split("test")
    for i in range(60):
        write(tmp_path / "test" / str(labels[i]), pixels[i], f"{i}.png")
        write(tmp_path / "train" / str(labels[i]), pixels[i], f"{i}.png")
    assert len(list((tmp_path / "test").iterdir())) == 10
    run = quick("vision.cnn").path
    folder = ["dataset=vision.folder", f"dataset.path={tmp_path}", "dataset.size=16"]
    folder.append("dataset.gray=true")
    found = dope("eval", run, "--json", *folder)
    assert found.exit_code == 0, found.stderr
    accuracy = json.loads(found.stdout)["test_accuracy"]
    assert accuracy >= 0.95
    rows = json.loads(dope("predict", run, "--json", *folder).stdout)["rows"]
    assert len(rows) == 60
    assert np.mean([row["class"] == row["is"] for row in rows]) == pytest.approx(accuracy)


def test_a_run_judges_other_images_of_its_data_set(quick, dope):
    run = quick("vision.cnn").path
    found = json.loads(dope("eval", run, "--json", "dataset.test=100").stdout)
    assert found["test_accuracy"] * 100 == pytest.approx(round(found["test_accuracy"] * 100))
    again = json.loads(dope("eval", run, "--json").stdout)
    for name, value in again.items():
        assert value == pytest.approx(quick("vision.cnn").metrics[name], rel=1e-6)
    other = dope("eval", run, "dataset=vision.digits", "dataset.size=12")
    assert other.exit_code == 1 and len(other.stderr.splitlines()) == 1
    assert "shape" in other.stderr


@pytest.mark.parametrize("task", ["vision.mlp", "vision.cnn"])
def test_pictures_of_a_run_are_png_files(quick, task):
    plots = quick(task).path / "plots"
    names = {path.stem for path in plots.iterdir()}
    assert names == {"curves", "predictions", "mistakes", "confusion", "filters"}
    for path in plots.iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG" and min(image.size) > 100
            assert np.asarray(image.convert("L")).std() > 5  # not blank


# Real data, where it lies


MNIST = {
    "softmax": (["optimizer.learning_rate=0.5", "trainer.schedule=cosine"], 0.925),
    "mlp": (
        ["optimizer.learning_rate=0.1", "optimizer.momentum=0.9", "trainer.schedule=cosine"],
        0.945,
    ),
    "cnn": (
        [
            "optimizer.learning_rate=0.05",
            "optimizer.momentum=0.9",
            "trainer.schedule=cosine",
            "model.batch_norm=false",
        ],
        0.978,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["softmax", "mlp", "cnn"])
def test_mnist(task, dope, tmp_path):
    """The first 8,000 of its 10,000 test images to learn from, the last 2,000 to judge."""
    if not (SHARED / "mnist" / "t10k-images-idx3-ubyte.gz").exists():
        pytest.skip("no MNIST files: set DOPE_SHARED_DATA")
    settings, least = MNIST[task]
    data = [f"dataset.path={SHARED / 'mnist'}", "dataset.source=test"]
    data += ["dataset=vision.mnist", "dataset.train=8000", "dataset.test=2000", "optimizer=sgd"]
    found = dope(
        "run",
        f"vision.{task}",
        *data,
        *settings,
        "trainer.epochs=10",
        "trainer.batch_size=64",
        "--runs",
        tmp_path,
        "--json",
        "--quiet",
    )
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["metrics"]["test_accuracy"] >= least
