"""Learning from tables: classes and numbers, embeddings, prediction on a machine without the data.

Holds no contract checks; what is learned of columns is in test_table.py.
"""

from __future__ import annotations

import csv
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import dope
from dope.core.backend import mx, nd
from dope.core.errors import ConfigError, DataError
from dope.plugins.tabular.encoding import Encoded
from dope.plugins.tabular.target import classification_figures, regression_figures
from dope.plugins.tabular.wide_deep import WideDeep

QUICK = {"trainer": {"epochs": 30, "batch_size": 32, "evaluate_every": 10}}


def classes_file(folder, n=240, seed=0):
    """Three classes by a number and a word; a column of names, an empty one and a date."""
    rng = np.random.default_rng(seed)
    lines = ["name,size,colour,seen,void,kind"]
    for i in range(n):
        size, colour = rng.normal(), rng.choice(["red", "blue", "green"])
        kind = "high" if size > 0.3 else ("low" if colour == "red" else "mid")
        text = "" if rng.random() < 0.05 else f"{size:.4f}"
        lines.append(f"row-{i},{text},{colour},2024-0{1 + i % 9}-11,,{kind}")
    path = folder / "kinds.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def numbers_file(folder, n=300, seed=1):
    """y = 3 a - 2 [w = 'b'] + 0.1 e."""
    rng = np.random.default_rng(seed)
    a, w = rng.normal(size=n), rng.choice(list("abc"), size=n)
    y = 3 * a - 2 * (w == "b") + 0.1 * rng.normal(size=n)
    path = folder / "numbers.csv"
    rows = (f"{x:.5f},{c},{v:.5f}" for x, c, v in zip(a, w, y))
    path.write_text("a,w,y\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def predictions(run):
    with (run.path / "predictions.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def classified(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classified")
    path = classes_file(folder)
    sections = {"dataset": {"path": str(path), "target": "kind"}, **QUICK}
    return dope.run("tabular.csv", runs=folder / "runs", **sections), path


def test_tells_classes_apart(classified):
    run, _ = classified
    assert run.metrics["target"].startswith("kind: classification")
    assert run.metrics["columns"] == {
        "numeric": "size", "categorical": "colour", "date": "seen", "identifier": "name",
        "left out": "void",
    }  # fmt: skip
    simple = run.metrics["simpler"]["majority"]
    assert run.metrics["valid_accuracy"] > 0.85 > 0.7 > simple["valid_accuracy"]
    assert run.metrics["valid_log_loss"] < 0.5 < simple["valid_log_loss"]
    assert (run.path / "plots" / "confusion.png").stat().st_size > 10_000
    assert (run.path / "plots" / "importance.png").stat().st_size > 10_000


def test_figures_are_those_of_the_written_predictions(classified):
    run, _ = classified
    rows = predictions(run)
    assert len(rows) == 48 and rows[0].keys() >= {"name", "is", "predicted", "p(high)", "p(low)"}
    shares = np.array([[float(row[f"p({c})"]) for c in ("high", "low", "mid")] for row in rows])
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    is_ = np.array([["high", "low", "mid"].index(row["is"]) for row in rows])
    for name, value in classification_figures(is_, shares).items():
        assert run.metrics[f"valid_{name}"] == pytest.approx(value, rel=1e-5)
    held = dict(csv.reader((run.path / "importance.csv").open()))
    assert float(held["size"]) > 0.2 and float(held["colour"]) > 0.1 > abs(float(held["seen"]))


def test_predicts_where_the_data_are_not(classified, tmp_path):
    run, path = classified
    new = tmp_path / "new.csv"
    new.write_text(
        "colour,extra,size,seen,void\npurple,1,2.5,2024-01-01,\nred,1,-3,,x\ngreen,1,,2025-05-05,\n"
    )
    before = run.predict(inputs=(str(new),))
    moved = path.with_name("moved.csv")
    shutil.move(path, moved)
    try:
        found = dope.load(run.path).predict(inputs=(str(new),))
        with pytest.raises(DataError, match="there is no file"):
            run.evaluate()
        with pytest.raises(DataError, match="there is no file"):
            dope.run("tabular.csv", runs=tmp_path, dataset={"path": str(path), "target": "kind"})
    finally:
        shutil.move(moved, path)
    assert found == before
    assert [row["predicted"] for row in found["rows"]][:2] == ["high", "low"]
    assert found["rows"][0]["line"] == 2 and "is" not in found["rows"][0]
    assert found["unseen_words"] == {"colour": 1} and found["ignored_columns"] == "extra"
    json.dumps(found)


@pytest.mark.parametrize("model", ["tabular.linear", "tabular.mlp"])
def test_plain_models_predict_without_the_data_too(model, tmp_path):
    path = classes_file(tmp_path)
    sections = {"dataset": {"path": str(path), "target": "kind"}, "model": {"name": model}}
    run = dope.run("tabular.csv", profile="tiny", runs=tmp_path / "runs", **sections)
    before = run.predict(inputs=(str(path),))
    path.rename(tmp_path / "moved.csv")
    after = run.predict(inputs=(str(tmp_path / "moved.csv"),))
    assert after == before and len(after["rows"]) == 240


def test_refuses_what_it_cannot_predict(classified, tmp_path):
    run, _ = classified
    new = tmp_path / "new.csv"
    new.write_text("size,color,seen\n1,red,2024-01-01\n")
    with pytest.raises(DataError, match=r"has no column 'colour'.*Did you mean 'color'"):
        run.predict(inputs=(str(new),))
    new.write_text("size,colour,seen\n1,red,2024-01-01\nbig,red,2024-01-01\n")
    with pytest.raises(DataError, match=r"line 3, column 'size' of .*: 'big' is not a number"):
        run.predict(inputs=(str(new),))
    found = run.predict(inputs=(str(new),), dataset={"broken": "skip"})
    assert len(found["rows"]) == 1 and found["skipped_lines"] == 1


def test_a_file_that_has_changed_does_not_change_what_was_learned(tmp_path):
    path = numbers_file(tmp_path)
    sections = {"dataset": {"path": str(path), "target": "y"}}
    run = dope.run("tabular.csv", profile="tiny", runs=tmp_path / "runs", **sections)
    copy = tmp_path / "copy.csv"
    shutil.copy(path, copy)
    before = run.predict(inputs=(str(copy),))
    with path.open("a") as handle:  # further words, and other means
        handle.write("".join(f"{i},new {i % 3},{i}\n" for i in range(100)))
    assert run.predict(inputs=(str(copy),)) == before


@pytest.mark.parametrize("embedding", [0, 3])
@pytest.mark.parametrize("wide", [True, False])
def test_learns_numbers_with_words_as_columns_or_embedded(embedding, wide, tmp_path):
    path = numbers_file(tmp_path)
    run = dope.run(
        "tabular.csv",
        runs=tmp_path / "runs",
        dataset={"path": str(path), "target": "y"},
        model={"embedding": embedding, "wide": wide, "dropout": 0.0, "members": 2},
        optimizer={"learning_rate": 0.01, "wd": 0.0},
        trainer={"epochs": 60, "batch_size": 32},
    )
    assert run.metrics["valid_rmse"] < 0.25 and run.metrics["valid_r2"] > 0.99
    rows = predictions(run)
    pair = np.array([[float(row["is"]), float(row["predicted"])] for row in rows]).T
    for name, value in regression_figures(*pair).items():
        assert run.metrics[f"valid_{name}"] == pytest.approx(value, rel=1e-5)
    path.rename(tmp_path / "moved.csv")
    assert len(run.predict(inputs=(str(tmp_path / "moved.csv"),))["rows"]) == 300


def test_a_linear_model_reaches_least_squares(tmp_path):
    path = numbers_file(tmp_path)
    run = dope.run(
        "tabular.csv",
        runs=tmp_path / "runs",
        dataset={"path": str(path), "target": "y", "valid": 0.0},
        model={"hidden": [], "members": 1},
        optimizer={"learning_rate": 0.05, "wd": 0.0},
        trainer={"epochs": 60, "batch_size": 50},
    )
    head, *lines = [line.split(",") for line in path.read_text().splitlines()]
    x = np.array([[float(a), w == "a", w == "b", w == "c"] for a, w, _ in lines], dtype=float)
    y = np.array([float(row[2]) for row in lines])
    best = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    found = [row["predicted"] for row in run.predict()["rows"]]
    np.testing.assert_allclose(found, best, atol=0.01)
    assert head == ["a", "w", "y"]


def test_a_second_file_is_tested_on_or_predicted(tmp_path):
    path = numbers_file(tmp_path)
    other = numbers_file(tmp_path / "other", seed=2) if (tmp_path / "other").mkdir() is None else 0
    dataset = {"path": str(path), "target": "y", "test": str(other), "valid": 0.0}
    run = dope.run("tabular.csv", profile="tiny", runs=tmp_path / "runs", dataset=dataset)
    assert run.metrics["test_rmse"] > 0 and "valid_rmse" not in run.metrics
    assert len(predictions(run)) == 300
    bare = tmp_path / "bare.csv"
    rows = (line.rpartition(",")[0] for line in other.read_text().splitlines()[:8])
    bare.write_text("\n".join(rows) + "\n")
    dataset["test"] = str(bare)
    run = dope.run("tabular.csv", profile="tiny", runs=tmp_path / "runs", dataset=dataset)
    assert len(run.predict()["rows"]) == 7 and "test_rmse" not in run.metrics


def test_skipped_lines_are_counted_in_the_summary(tmp_path):
    path = numbers_file(tmp_path)
    with path.open("a") as handle:
        handle.write("1,a\nx,b,2\n1,b,\n")
    dataset = {"path": str(path), "target": "y", "broken": "skip"}
    run = dope.run("tabular.csv", profile="tiny", runs=tmp_path / "runs", dataset=dataset)
    assert run.metrics["skipped_lines"] == 3
    said = (run.path / "skipped.txt").read_text().splitlines()
    assert len(said) == 3 and "line 302 of" in said[0]


def net_of(data, **options):
    net = WideDeep(data, **options)
    net.initialize()
    return net


def test_members_are_networks_of_their_own():
    """Outputs and gradients of two members are those of each alone, written out in NumPy."""
    data = SimpleNamespace(shape=(3,), outputs=1)
    mx.random.seed(3)
    net = net_of(data, hidden=(4,), members=2, dropout=0.0)
    rng = np.random.default_rng(0)
    for p in net.collect_params().values():
        p.set_data(nd.array(rng.normal(size=p.shape)))
    x, y = rng.normal(size=(5, 3)).astype("f"), rng.normal(size=5).astype("f")
    own = {k: p.data().asnumpy() for k, p in net._collect_params_with_prefix().items()}
    with mx.autograd.record():
        out = net(nd.array(x))
        loss = ((out - nd.array(y).reshape((-1, 1))) ** 2 / 2).mean(axis=1)
    loss.backward()
    for m in range(2):
        rows = slice(4 * m, 4 * m + 4)
        z = x @ own["first.weight"][rows].T + own["first.bias"][rows]
        wide = x @ own["wide.weight"][m] + own["wide.bias"][m]
        said = np.maximum(z, 0) @ own["weight2"][m, :, 0] + wide
        np.testing.assert_allclose(out.asnumpy()[:, m], said, rtol=1e-4, atol=1e-5)
        slope = (said - y) @ x  # of the member's own loss, summed over rows
        grad = net.wide.weight.grad().asnumpy()[m]
        np.testing.assert_allclose(grad, slope, rtol=1e-3, atol=1e-4)


def test_embedding_takes_the_vector_of_each_word():
    data = SimpleNamespace(shape=(3,), outputs=2, encoding=SimpleNamespace(places=4))
    net = net_of(data, hidden=(5,), members=1, wide=False, embedding=2, dropout=0.0)
    numbers = nd.array([[0.5]])
    out = net(numbers, nd.array([[1, 3]])).asnumpy()
    own = {k: p.data().asnumpy() for k, p in net._collect_params_with_prefix().items()}
    deep = np.concatenate([[0.5], own["embedding"][1], own["embedding"][3]])
    z = np.maximum(own["first.weight"] @ deep + own["first.bias"], 0)
    np.testing.assert_allclose(out, [z @ own["weight2"][0] + own["bias2"][0, 0]], rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [{"hidden": [0]}, {"members": 0}, {"hidden": [], "wide": False}, {"dropout": 1.0}],
)
def test_refuses_models_that_cannot_be(options):
    with pytest.raises(ConfigError, match="model"):
        WideDeep(SimpleNamespace(shape=(3,), outputs=1), **options)


def test_command_line_writes_predictions(classified, tmp_path, inside):
    run, path = classified
    new, out = tmp_path / "new.csv", tmp_path / "out.csv"
    new.write_text("\n".join(path.read_text().splitlines()[:6]) + "\n")
    done = inside("predict", run.path, "--input", new, "--output", out)
    assert done.exit_code == 0, done.stderr
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 5 and rows[0]["name"] == "row-0" and rows[0]["predicted"]
    done = inside("predict", run.path, "--input", tmp_path / "absent.csv")
    assert done.exit_code == 1 and "there is no file" in done.stderr


def test_encoded_rows_can_be_taken_apart():
    spans = {"a": (slice(0, 1), slice(0, 0), slice(0, 0))}
    found = Encoded(np.eye(3), np.zeros((3, 0)), np.zeros((3, 0)), {}, spans)
    assert found.taken(np.array([2])).numbers.tolist() == [[0, 0, 1]]
