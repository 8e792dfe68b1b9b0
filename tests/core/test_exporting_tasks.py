"""Every built-in task as ONNX, exports beside predictions, reasons that are true, and their table.

Holds no test of how an export is written; that the tasks export as symbols is the contract's.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import dope
from dope.core.backend import mx
from dope.core.errors import ConfigError, RunError
from dope.core.exporting.declaring import Exported, Input, reasons
from dope.core.exporting.onnx_format import model
from dope.core.exporting.tracing import trace
from dope.core.plugging.discovery import discover

onnxruntime = pytest.importorskip("onnxruntime")

REGISTRY = discover()
TASKS = list(dope.tasks(registry=REGISTRY))
DECLARED = {name: reasons(REGISTRY, name) for name in TASKS}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"
SAME = 1e-5


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run of a task, by its name and options."""
    made = {}

    def run(task, **sections):
        key = json.dumps([task, sections], sort_keys=True)
        if key not in made:
            folder = tmp_path_factory.mktemp("run")
            made[key] = dope.run(
                task,
                profile="tiny",
                folder=folder / "run",
                contexts="cpu(0)",
                registry=REGISTRY,
                **sections,
            )
        return made[key]

    return run


def outputs_of(folder, name="network"):
    """A model's outputs for any inputs, by ONNX Runtime."""
    session = onnxruntime.InferenceSession(
        str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_outputs()]
    return lambda **inputs: dict(zip(names, session.run(names, inputs)))


@pytest.mark.parametrize("task", [name for name in TASKS if DECLARED[name]["onnx"] is None])
def test_task_as_onnx(trained, task):
    made = dope.export(trained(task).path, format="onnx", registry=REGISTRY)
    assert made["networks"]
    for network in made["networks"]:
        assert network["difference"] <= SAME
        assert network["about"] and all(
            each["meaning"] for kind in ("inputs", "outputs") for each in network[kind]
        )
        # a batch that is larger than the example, where examples are what is free
        call = outputs_of(made["folder"], network["name"])
        with np.load(made["folder"] / "example.npz") as example:
            given = {
                each["name"]: np.concatenate([example[f"{network['name']}.{each['name']}"]] * 2)
                for each in network["inputs"]
                if each["shape"][0] == "n" and "t" not in each["shape"]
            }
            if len(given) == len(network["inputs"]):
                found = call(**given)
                first = network["outputs"][0]["name"]
                once = example[f"{network['name']}.{first}"]
                assert np.allclose(found[first][: len(once)], once, rtol=1e-4, atol=SAME)
                assert len(found[first]) == 2 * len(once)


def values(rows, key):
    return np.array([row[key] for row in rows], dtype=float)


def test_classifier_gives_what_it_predicts(trained):
    run = trained("vision.cnn")
    made = dope.export(run.path, format="onnx", to=run.path / "cnn", registry=REGISTRY)
    pixels, _ = run.task.dataset.split("test")
    scale = made["networks"][0]["pixels"]
    images = (pixels * np.float32(scale["multiply"][0]) + scale["add"][0]).astype(np.float32)
    shares = outputs_of(made["folder"])(image=images)["probability"]
    rows = run.predict()["rows"]
    classes = made["networks"][0]["classes"]
    assert [classes[k] for k in shares.argmax(axis=1)] == [row["class"] for row in rows]
    assert np.abs(shares.max(axis=1) - values(rows, "probability")).max() < SAME


def test_table_gives_what_it_predicts_in_its_own_unit(trained):
    run = trained("tabular.house_prices", dataset={"scale_target": "log"})
    made = dope.export(run.path, format="onnx", to=run.path / "houses", registry=REGISTRY)
    data, split = run.task.dataset, "valid"
    (rows,) = data.arrays(split, ("together",))[:-1]
    found = outputs_of(made["folder"])(together=rows)["value"]
    said = run.task.predicted(run.nets, data.encoding(data.part(split)).taken(data.rows(split)))
    assert said.min() > 1000  # prices
    assert np.abs(found / said - 1).max() < SAME


@pytest.mark.parametrize("model", ["recsys.mf", "recsys.mean", "svd++"])
def test_recommender_gives_what_it_predicts(trained, model):
    options = {"name": "recsys.mf", "factors": 4, "implicit": True} if model == "svd++" else model
    run = trained("recsys.ratings", model=options)
    made = dope.export(run.path, format="onnx", to=run.path / model, registry=REGISTRY)
    rows, facts = run.predict()["rows"], made["networks"][0]
    user, item = (
        np.array([facts[f"{kind}s"].index(row[kind]) for row in rows], np.int32)
        for kind in ("user", "item")
    )
    found = outputs_of(made["folder"], "pairs")(user=user, item=item)["rating"]
    assert np.abs(found - values(rows, "predicted")).max() < SAME
    whole = outputs_of(made["folder"], "lists")(user=user[:2])["score"]
    assert np.abs(whole - run.nets.tables().rows(user[:2])).max() < SAME


def test_forecast_gives_what_it_predicts(trained):
    run = trained("timeseries.lds")
    made = dope.export(run.path, registry=REGISTRY)
    (network,) = made["networks"]
    net = mx.gluon.SymbolBlock.imports(
        *(str(made["folder"] / "forecast-symbol.json"), ["values", "observed"]),
        str(made["folder"] / "forecast-0000.params"),
    )
    values_, _, observed = run.task.arrays
    mean, deviation = (
        each.asnumpy()[..., 0]
        for each in net(*(mx.nd.array(x, dtype=x.dtype) for x in (values_, observed)))
    )
    rows = run.predict()["rows"]
    assert np.abs(mean.ravel() - values(rows, "mean")).max() < SAME
    assert (
        np.abs(mean + 1.959964 * deviation - values(rows, "upper_95").reshape(mean.shape)).max()
        < SAME
    )
    assert network["inputs"][0]["shape"] == ["n", "t", 1]


def test_bayes_gives_what_it_predicts(trained):
    run = trained("bayes.by_backprop")
    made = dope.export(run.path, format="onnx", to=run.path / "bayes", registry=REGISTRY)
    part = run.task.held_out()
    inputs = np.concatenate([x.asnumpy() for x, _ in run.task.dataset.batches(part, 100)])
    found = outputs_of(made["folder"])(input=inputs)
    rows = run.predict()["rows"]
    assert np.abs(found["mean"].max(axis=1) - values(rows, "probability")).max() < SAME
    assert found["drawn"].shape == (run.task.draws, len(rows), 10)
    assert np.abs(found["drawn"].mean(axis=0) - found["mean"]).max() < SAME
    assert np.abs(found["drawn"][0] - found["drawn"][1]).max() > 0.001  # they are different ones


def test_language_model_goes_on_with_its_states(trained):
    run = trained("nlp.char_lm")
    made = dope.export(run.path, format="onnx", to=run.path / "text", registry=REGISTRY)
    call = outputs_of(made["folder"])
    ids = run.task.dataset.encode("the time").astype(np.float32)[:, None]
    zeros = {
        each["name"]: np.zeros((1, 1, each["shape"][2]), np.float32)
        for each in made["networks"][0]["inputs"][1:]
    }
    whole = call(read=ids, **zeros)["logits"][0]
    states, steps = zeros, []
    for number in ids:
        found = call(read=number[None], **states)
        steps.append(found["logits"][0, 0])
        states = {name: found[f"{name}_after"] for name in states}
    assert np.abs(np.stack(steps) - whole).max() < SAME
    x = mx.nd.array(ids)
    own = run.nets(x, run.nets.begin(x))[0].asnumpy()[0]
    assert np.abs(own - whole).max() < SAME


def test_detector_gives_the_boxes_that_it_finds(trained):
    run = trained("vision.ssd")
    made = dope.export(run.path, to=run.path / "ssd", registry=REGISTRY)
    from dope.plugins.vision.matching import decode

    pixels = run.task.dataset.images("valid")[:2]
    images = mx.nd.array(run.task.dataset.to_input(pixels))
    scores, offsets = (each.asnumpy() for each in run.nets(images))
    nets = {
        name: mx.gluon.SymbolBlock.imports(
            *(str(made["folder"] / f"{name}-symbol.json"), ["image"]),
            str(made["folder"] / f"{name}-0000.params"),
        )
        for name in ("boxes", "detector")
    }
    shares, boxes = (each.asnumpy() for each in nets["boxes"](images))
    expected = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    assert np.abs(shares - expected).max() < SAME
    assert np.abs(boxes - decode(offsets, run.nets.anchors)).max() < SAME
    found = nets["detector"](images).asnumpy()
    own = run.task.find(run.nets, pixels, 0.01, run.task.overlap)
    for rows, mine in zip(found, own):
        assert np.array_equal(rows[rows[:, 0] >= 0], mine)


def test_reasons_are_true(trained):
    # symbols: the contract suite tries them. ONNX of what is a symbol:
    assert {name for name in TASKS if DECLARED[name]["onnx"]} == {
        "nlp.tree_lstm", "timeseries.issm", "timeseries.lds",
    }  # fmt: skip
    run = trained("timeseries.lds")
    (network,) = run.task.exports(run.nets)
    with pytest.raises(RunError, match="No conversion function registered for op type _linalg"):
        model(trace(network))


def test_what_cannot_be_exported_is_refused_with_its_reason(trained):
    run = trained("timeseries.issm")
    with pytest.raises(ConfigError, match="estimating the first state and the noise of each"):
        dope.export(run.path, registry=REGISTRY)


def test_custom_operator_has_no_form_in_onnx(trained):
    run = trained("vision.vqa")
    net, (portable,) = run.nets["net"], run.task.exports(run.nets)
    plain = Exported([net], net, portable.inputs, {"scores": "of answers"})
    with pytest.raises(RunError, match="No conversion function registered for op type Custom"):
        model(trace(plain))


def test_fourier_matrices_pool_as_the_operator_does():
    from dope.plugins.vision.sketch import Transforms, pooled

    rng = np.random.default_rng(3)
    for size in (8, 9):
        hashes = []
        for units in (5, 7):
            hashes += [rng.integers(0, size, units), rng.choice([-1.0, 1.0], units)]
        x, y = rng.normal(size=(4, 5)), rng.normal(size=(4, 7))
        expected = np.zeros((4, size))
        for i in range(5):  # the definition: what each product adds to its bucket
            for j in range(7):
                bucket = (hashes[0][i] + hashes[2][j]) % size
                expected[:, bucket] += hashes[1][i] * hashes[3][j] * x[:, i] * y[:, j]
        net = Transforms(hashes, size)
        found = net(mx.nd.array(x), mx.nd.array(y)).asnumpy()
        assert np.abs(found - expected).max() < 1e-5
        assert np.abs(pooled(x, y, tuple(hashes), size)[0] - expected).max() < 1e-12


@pytest.mark.parametrize("cell", ["gru", "scratch", "batch_norm"])
def test_layers_of_other_options_as_onnx(trained, cell):
    task, options = {
        "gru": ("nlp.char_lm", {"name": "nlp.char_lm", "hidden": 7, "cell": "gru"}),
        "scratch": ("nlp.char_lm", {"name": "nlp.char_lm", "hidden": 7, "impl": "scratch"}),
        "batch_norm": (
            "vision.cnn",
            {"name": "vision.cnn", "channels": [4, 4], "dense": 8, "batch_norm": True,
             "impl": "scratch"},
        ),
    }[cell]  # fmt: skip
    run = trained(task, model=options)
    made = dope.export(run.path, format="onnx", registry=REGISTRY)
    assert made["networks"][0]["difference"] <= SAME


def test_example_of_a_new_input_is_checked(trained):
    run = trained("vision.softmax")
    (network,) = run.task.exports(run.nets)
    wrong = Exported(
        [run.nets], network.compute, [Input("image", network.inputs[0].example)], {"a": "", "b": ""}
    )
    with pytest.raises(dope.DopeError, match="has 1 outputs, and 2 are declared"):
        trace(wrong)


def test_page_has_a_row_for_each_task_and_tells_the_truth():
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.M)
    assert [row[0] for row in rows] == TASKS
    for task, symbol, onnx, networks in rows:
        assert (symbol == "yes") == (DECLARED[task]["symbol"] is None), task
        assert onnx.startswith("yes") == (DECLARED[task]["onnx"] is None), task
        assert networks == "" or symbol == "yes"
