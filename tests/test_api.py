"""Runs from Python: what they hold and say, parts of one's own, and the examples in docstrings.

Holds no test of training itself.
"""

from __future__ import annotations

import doctest
import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

import dope
from dope.core import api
from dope.core.errors import ConfigError, RunError
from dope.core.training import composing

OWN = '''
from dope import Task
from dope.core.backend import mx

def Net(dataset, *, units: int = 5):
    """A net.

    Parameters
    ----------
    units
        Hidden units.
    """
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(units), mx.gluon.nn.Dense(len(dataset.classes)))
    return net

class Mine(Task):
    """A task."""
    defaults = {
        "dataset": {"name": "vision.digits", "train": 100},
        "model": "vision.softmax",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "trainer": {"epochs": 1},
    }
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of one's own, in a folder where runs are written."""
    (tmp_path / "own_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module("own_nets")
    del sys.modules["own_nets"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return dope.run("vision.softmax", profile="tiny", runs=tmp_path_factory.mktemp("runs"))


def test_a_run_holds_config_metrics_history_networks_and_task(trained):
    assert trained.config.options("trainer")["epochs"] == 2
    assert trained.metrics["test_accuracy"] == trained.history[-1]["test_accuracy"]
    rows = [json.loads(x) for x in (trained.path / "metrics.jsonl").read_text().splitlines()]
    assert trained.history == rows and [row["epoch"] for row in rows] == [1, 2]
    assert trained.nets is not None and trained.task.dataset.classes[3] == "3"


def test_loaded_it_predicts_and_evaluates_the_same_and_writes_nothing(trained):
    def files():
        return {p: p.stat().st_mtime_ns for p in trained.path.rglob("*") if p.is_file()}

    before = files()
    again = dope.load(trained.path)
    x = trained.task.dataset.to_input(trained.task.dataset.split("test")[0][:7])
    from dope.core.backend import nd

    assert np.array_equal(trained.nets(nd.array(x)).asnumpy(), again.nets(nd.array(x)).asnumpy())
    assert again.metrics == trained.metrics and again.config == trained.config
    assert again.predict() == trained.predict() == dope.predict(trained.path)
    figures = trained.evaluate()
    assert figures["test_accuracy"] == trained.metrics["test_accuracy"]
    assert trained.evaluate(dataset={"test": 10}) != figures
    assert files() == before


def test_resumed_without_a_checkpoint_it_begins_again_with_no_row_twice(tmp_path):
    done = dope.run("vision.softmax", profile="tiny", runs=tmp_path)
    before = done.history
    for path in (done.path / "checkpoints").iterdir():
        path.unlink()
    assert dope.resume(done.path).history == before and len(before) == 2


def test_in_a_console_and_in_a_notebook(trained):
    line = repr(trained)
    assert line.startswith("<Run vision.softmax: done, loss ") and str(trained.path) in line
    html = trained._repr_html_()
    accuracy = f"{trained.metrics['test_accuracy']:.5g}"
    assert f"<td>test_accuracy</td><td>{accuracy}</td>" in html
    assert "dataset: vision.digits" in html and "confusion.png" in html
    nested = api.Run(trained.directory, trained.config, {"metrics": {"b": {"<x>": {"y": 1.5}}}})
    assert "<th>b</th><th>y</th>" in nested._repr_html_()
    assert "<td>&lt;x&gt;</td><td>1.5</td>" in nested._repr_html_()


def test_progress_is_shown_when_asked_for(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("dope.core.terminal.progress.Lines.__init__.__defaults__", (None, 0.0))
    dope.run("vision.softmax", profile="tiny", runs=tmp_path)
    assert capfd.readouterr() == ("", "")
    dope.run("vision.softmax", profile="tiny", runs=tmp_path, progress=True)
    assert "epoch 2/2  loss" in capfd.readouterr().err


def test_listing():
    assert "vision.cnn" in dope.tasks() and list(dope.tasks("losses")) == []
    assert dope.parts("model", "timeseries").keys() >= {"timeseries.issm"}
    assert "loss losses.l2" in dope.parts() and "task vision.cnn" in dope.parts(domain="vision")


def test_a_class_of_one_s_own(own):
    done = dope.run("vision.cnn", profile="tiny", model={"name": own.Net, "units": 7})
    assert done.config.sections["model"] == {"name": "own_nets:Net", "units": 7}
    assert done.nets[0]._units == 7
    again = dope.load(done.path, parts=[own.Net])
    assert again.predict() == done.predict()
    before = done.history
    longer = dope.resume(done.path, overrides=["trainer.epochs=3"], parts=[own.Net])
    assert longer.history[:2] == before and len(longer.history) == 3


def test_options_of_one_s_own_class_are_checked(own):
    with pytest.raises(ConfigError, match=r"own_nets:Net has no option 'unit'. Did you mean 'unit"):
        dope.run("vision.cnn", model={"name": own.Net, "unit": 7})


def test_a_task_of_one_s_own(own):
    done = dope.run(own.Mine, model=own.Net)
    assert done.path.parent.name == "own_nets.Mine" and done.result["status"] == "done"


def test_a_config_file_alone_imports_nothing(own, tmp_path):
    done = dope.run("vision.cnn", profile="tiny", model=own.Net)
    with pytest.raises(RunError) as caught:
        dope.resume(done.path)
    assert "model own_nets:Net was given from Python" in str(caught.value)
    assert "parts=[Net]" in caught.value.hint
    text = (done.path / "config.yaml").read_text()
    (tmp_path / "poison.py").write_text("raise SystemExit('imported')")
    (done.path / "config.yaml").write_text(text.replace("own_nets:Net", "poison:Net"))
    with pytest.raises(RunError, match="poison:Net was given from Python"):
        dope.load(done.path, parts=[own.Net])
    with pytest.raises(ConfigError, match="there is no model 'poison:Net'"):
        dope.run("vision.cnn", model="poison:Net")


def test_what_cannot_be_found_again_is_refused():
    def inner(dataset):
        return None

    for thing in (inner, lambda dataset: None, lambda: 1):
        with pytest.raises(ConfigError, match="not a class or function at the top of a module"):
            dope.run("vision.cnn", model=thing)


def test_a_class_from_a_script_or_a_notebook_cell(tmp_path):
    code = f"""
import dope
from dope.core.backend import mx
def Net(dataset, *, units: int = 5):
    return mx.gluon.nn.Dense(len(dataset.classes))
run = dope.run("vision.cnn", profile="tiny", model={{"name": Net, "units": 3}},
    runs={str(tmp_path)!r})
print(run.config.sections["model"], len(run.predict()["rows"]) > 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "{'name': '__main__:Net', 'units': 3} True", done.stderr


def test_public_names():
    for name in dope.__all__:
        assert getattr(dope, name) is not None
    assert {"load", "tasks", "parts", "run", "resume", "evaluate", "predict"} <= set(dir(dope))


@pytest.mark.parametrize("module", ["dope.core.api", "dope.core.callbacks"])
def test_examples_in_docstrings(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(module), verbose=False)
    assert found.attempted >= 2 and found.failed == 0


def test_import_strings_are_those_of_the_thing_itself():
    assert composing.import_string(doctest.testmod) == "doctest:testmod"
    with pytest.raises(ConfigError):
        composing.import_string("doctest:testmod")
