"""Parts of any plugins in one run: what fits runs, what does not is refused with both named.

Holds runs of built-in tasks with parts of a small foreign plugin.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from dope.core import api
from dope.core.errors import ConfigError
from dope.core.plugging.discovery import discover
from dope.core.training import checkpoint, fitting

PLUGIN = """
from dope.core.hookspecs import hookimpl

@hookimpl
def register_datasets(register):
    for name in ("Images", "Blank", "Listed", "Triples"):
        register(f"mix.{name.lower()}", f"mix_code:{name}", summary="Images, or nearly so")

@hookimpl
def register_models(register):
    for name in ("Res", "Imperative", "Late", "Two", "Fixed", "Slip", "Broken"):
        register(f"mix.{name.lower()}", f"mix_code:{name}", summary="A network, or nearly so")

@hookimpl
def register_losses(register):
    for name in ("Focal", "Plain", "Signs", "Shares", "PlainClasses"):
        register(f"mix.{name.lower()}", f"mix_code:{name}", summary="A loss")
"""

CODE = '''
import numpy as np
from dope.core.backend import mx, nd
from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError

class Images:
    """Random images.

    Parameters
    ----------
    most
        The largest label.
    step
        Between labels.
    names
        How many classes are named.
    transformed
        Give labels by a transform, batch by batch.
    """
    def __init__(
        self, *, most: int = 3, step: float = 1.0, names: int = 4, transformed: bool = False
    ) -> None:
        rng = np.random.default_rng(0)
        self.shape, self.classes = (1, 6, 6), list("abcdefgh"[:names])
        self.pixels = rng.random((32, 1, 6, 6)).astype("float32")
        self.labels = (np.arange(32) % (most + 1) * step).astype("float32")
        self.transformed = transformed

    def split(self, name):
        return None

    def batches(self, split, batch_size):
        if split != "train":
            return None
        labels = self.labels
        turned = (lambda arrays, rng: arrays) if self.transformed else None
        return ArrayBatches((self.pixels, labels), batch_size, shuffle=True, transform=turned)

class Blank:
    """Has nothing of images."""

class Listed(Images):
    """Batches are a list."""
    def __init__(self) -> None:
        super().__init__()

    def batches(self, split, batch_size):
        return [1, 2]

class Triples(Images):
    """Three arrays a batch."""
    def __init__(self) -> None:
        super().__init__()

    def batches(self, split, batch_size):
        return None if split != "train" else ArrayBatches(
            (self.pixels, self.labels, self.labels), batch_size)

def Res(dataset, *, units: int = 8, seasonal: int = 3):
    """A residual layer; shapes come from the data, and dropout draws.

    Parameters
    ----------
    units
        Hidden units.
    seasonal
        Nothing.
    """
    class Block(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.first, self.second = mx.gluon.nn.Dense(units), mx.gluon.nn.Dense(units)
            self.norm, self.drop = mx.gluon.nn.BatchNorm(), mx.gluon.nn.Dropout(0.5)
            self.last = mx.gluon.nn.Dense(len(dataset.classes))
        def hybrid_forward(self, F, x):
            h = self.first(x)
            return self.last(h + self.drop(self.second(F.relu(self.norm(h)))))
    return Block()

class Imperative(mx.gluon.Block):
    """Does not hybridize, and knows its shapes."""
    def __init__(self, dataset, *, inputs: int = 36) -> None:
        super().__init__()
        self.dense = mx.gluon.nn.Dense(len(dataset.classes), in_units=inputs)
        self.norm = mx.gluon.nn.BatchNorm(in_channels=len(dataset.classes))
    def forward(self, x):
        return self.norm(self.dense(x))

class Late(mx.gluon.Block):
    """Does not hybridize, and learns its shapes from the data."""
    def __init__(self, dataset) -> None:
        super().__init__()
        self.dense = mx.gluon.nn.Dense(len(dataset.classes))
    def forward(self, x):
        return self.dense(x)

class Two(mx.gluon.HybridBlock):
    """Wants two inputs."""
    def __init__(self, dataset) -> None:
        super().__init__()
        self.dense = mx.gluon.nn.Dense(3)
    def hybrid_forward(self, F, x, mask):
        return self.dense(x * mask)

def Fixed(dataset):
    """For inputs of another size."""
    return mx.gluon.nn.Dense(4, in_units=100)

def Slip(dataset):
    """Trips over its data."""
    return {}[dataset.shape]

class Broken(mx.gluon.HybridBlock):
    """Has a mistake of its own."""
    def __init__(self, dataset) -> None:
        super().__init__()
        self.thing = self.nothing

class Focal(mx.gluon.HybridBlock):
    """Cross-entropy that looks away from what is easy.

    Parameters
    ----------
    gamma
        How much.
    """
    def __init__(self, *, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma
    def hybrid_forward(self, F, output, target):
        logs = F.pick(F.log_softmax(output), target.reshape((-1,)), axis=-1)
        return -((1 - F.exp(logs)) ** self.gamma) * logs

class Plain:
    """An imperative squared error."""
    def __call__(self, output, target):
        return nd.elemwise_sub(output, target).square().sum(axis=1)

class Signs:
    """Takes signs."""
    targets = "signs"
    def __call__(self, output, target):
        return nd.relu(1 - output[:, 0] * target)

class Shares(Signs):
    """Takes probabilities."""
    targets = "probabilities"

class PlainClasses(Signs):
    """Takes classes, and says so."""
    targets = "classes"
'''


@pytest.fixture
def registry(toy, tmp_path, monkeypatch):
    site = tmp_path / "mix"
    toy.install(site, "mix", PLUGIN)
    (site / "mix_code.py").write_text(CODE)
    for folder in (toy.site, site):
        monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(tmp_path)
    return discover(strict=True)


def run(registry, *overrides, task="vision.softmax", **options):
    options.setdefault("profile", "tiny")
    return api.run(task, overrides=overrides, registry=registry, **options)


def refused(registry, tmp_path, *overrides, **options):
    """What is said; and that nothing was learned: there is no row and no checkpoint."""
    with pytest.raises(ConfigError) as caught:
        run(registry, *overrides, runs=tmp_path / "refused", **options)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    (folder,) = (tmp_path / "refused").glob("*/*")
    assert not list((folder / "checkpoints").iterdir())
    assert not (folder / "metrics.jsonl").exists()
    assert json.loads((folder / "result.json").read_text())["status"] == "failed"
    return caught.value.message


MIXED = {"model": "mix.res", "loss": "mix.focal", "dataset": "mix.images"}


def test_parts_of_three_plugins_on_the_command_line_in_yaml_and_in_python(registry, tmp_path):
    words = [f"{section}={name}" for section, name in MIXED.items()]
    file = tmp_path / "mixed.yaml"
    file.write_text(json.dumps(MIXED))
    runs = [
        run(registry, *words, task="vision.cnn"),
        run(registry, file=file, task="vision.cnn"),
        run(registry, **MIXED, task="vision.cnn"),
    ]
    assert runs[0].history == runs[1].history == runs[2].history
    assert runs[0].metrics["loss"] < runs[0].history[0]["loss"]
    # what the tiny profile says of vision.cnn's own parts is not carried over
    assert runs[0].config.options("model") == {"units": 8, "seasonal": 3}
    assert runs[0].config.options("dataset")["most"] == 3


@pytest.mark.parametrize(
    ("overrides", "options", "said"),
    [
        (
            ["dataset=mix.blank"],
            {},
            "model vision.softmax does not fit dataset mix.blank: Blank has no '",
        ),
        (
            ["dataset=timeseries.nile"],
            {"task": "vision.cnn"},
            "model vision.cnn does not fit dataset timeseries.nile: Nile has no 'shape'",
        ),
        (
            ["dataset=vision.digits"],
            {"task": "timeseries.issm"},
            "task timeseries.issm does not fit dataset vision.digits: Digits has no 'load'",
        ),
        (
            ["model=timeseries.issm"],
            {},
            "model timeseries.issm does not fit dataset vision.digits: Digits has no 'season'",
        ),
        (
            ["model=timeseries.lds"],
            {"task": "timeseries.issm"},
            "model timeseries.lds does not fit dataset",
        ),
        (
            ["model=vision.softmax"],
            {"task": "vision.naive_bayes"},
            "task vision.naive_bayes does not fit model vision.softmax: Softmax has no 'count'",
        ),
        (
            ["model=vision.naive_bayes"],
            {},
            "model vision.naive_bayes does not fit task vision.softmax: it has no parameters",
        ),
        (
            ["model=mix.fixed"],
            {},
            "model mix.fixed does not fit dataset vision.digits: operator",
        ),
        (
            ["model=mix.imperative", "model.inputs=35"],
            {},
            "model mix.imperative does not fit dataset vision.digits: ",
        ),
        (
            ["model=mix.two"],
            {},
            "model mix.two does not fit dataset vision.digits: ",
        ),
        (
            ["model=mix.slip"],
            {},
            "model mix.slip does not fit dataset vision.digits: KeyError: (1, 8, 8)",
        ),
        (
            ["loss=losses.l2"],
            {},
            "loss losses.l2 does not fit model vision.softmax: outputs have shape (64, 10), "
            "targets (64,)",
        ),
        (
            ["loss=mix.plain"],
            {},
            "loss mix.plain does not fit model vision.softmax: outputs have shape (64, 10)",
        ),
        (
            ["dataset=mix.listed"],
            {},
            "dataset mix.listed does not fit task vision.softmax: its batches are a list",
        ),
        (
            ["dataset=mix.triples"],
            {},
            "dataset mix.triples does not fit task vision.softmax: a batch is 3 parts",
        ),
        (
            ["dataset=mix.images", "dataset.most=4"],
            {},
            "model vision.softmax does not fit dataset mix.images: it tells 4 classes apart, 0 to "
            "3, and a target is 4",
        ),
        (
            ["dataset=mix.images", "dataset.step=0.5", "dataset.transformed=true"],
            {},
            "loss losses.softmax_cross_entropy does not fit dataset mix.images: it takes targets "
            "that are whole numbers, the places of classes, and one is ",
        ),
        (
            ["dataset=mix.images", "dataset.step=-1", "loss=mix.focal"],
            {},
            "model vision.softmax does not fit dataset mix.images: it tells 4 classes apart, 0 to "
            "3, and a target is -1",
        ),
        (
            ["dataset=mix.images", "dataset.step=0.5", "loss=mix.plainclasses"],
            {},
            "loss mix.plainclasses does not fit dataset mix.images: it takes targets that are",
        ),
        (
            ["loss=mix.signs"],
            {},
            "loss mix.signs does not fit dataset vision.digits: it takes targets that are -1 and 1",
        ),
        (
            ["loss=mix.shares"],
            {},
            "loss mix.shares does not fit dataset vision.digits: it takes targets that are between",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_both_named(registry, tmp_path, overrides, options, said):
    assert refused(registry, tmp_path, *overrides, **options).startswith(said)


@pytest.mark.parametrize("hybridize", [True, False])
def test_shapes_are_refused_without_compiling_too(registry, tmp_path, hybridize):
    # imperatively MXNet would broadcast (64, 10) with (64, 1) and learn nonsense
    said = refused(registry, tmp_path, "loss=losses.l2", hybridize=hybridize)
    assert said.startswith("loss losses.l2 does not fit model vision.softmax")


def test_a_mistake_in_a_part_s_own_code_stays_what_it_is(registry):
    with pytest.raises(AttributeError, match="'Broken' object has no attribute 'nothing'"):
        run(registry, "model=mix.broken")


def test_an_error_in_a_task_of_its_own_parts_stays_what_it_is(registry):
    with pytest.raises(ValueError, match="first line of it"):
        run(registry, "task.fault=value", task="toy.regression", profile="quick")


@pytest.mark.parametrize("model", ["mix.res", "mix.imperative", "mix.late"])
def test_the_check_changes_no_bit(registry, tmp_path, monkeypatch, model):
    given = ["dataset=mix.images", f"model={model}", "loss=mix.focal", "trainer.batch_size=8"]
    checked = run(registry, *given, runs=tmp_path / "checked")
    seen = []
    monkeypatch.setattr(fitting, "check", lambda *details: seen.append(details))
    bare = run(registry, *given, runs=tmp_path / "bare")
    assert len(seen) == 1
    left, right = (checkpoint.latest(each.path / "checkpoints")[0] for each in (checked, bare))
    assert set(left.arrays) == set(right.arrays) and left.arrays
    for key, array in left.arrays.items():
        assert np.array_equal(array, right.arrays[key]), key


def test_the_check_runs_once_and_not_on_resuming(registry, monkeypatch):
    from dope.core.testing.fresh import Signal

    seen, real = [], fitting.check
    monkeypatch.setattr(fitting, "check", lambda *d: (seen.append(d), real(*d)))
    part = run(registry, callbacks=[Signal(2, 3)])
    assert len(seen) == 1 and part.result["status"] == "interrupted"
    assert api.resume(part.path, registry=registry).result["status"] == "done" and len(seen) == 1


def test_another_data_set_that_does_not_fit_a_trained_run_is_refused(registry):
    done = run(registry)
    with pytest.raises(ConfigError, match=r"model vision\.softmax does not fit dataset mix\.blank"):
        done.evaluate(dataset="mix.blank")
