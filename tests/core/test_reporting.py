"""Tests of core/reporting: what is read of a run, the page that shows it, TensorBoard and CSV.

Holds nothing that needs a browser, that is in test_reporting_browser.py; nor the board.
"""

from __future__ import annotations

import base64
import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dope
from dope.core.plugging.discovery import discover
from dope.core.reporting import page, reading
from dope.core.reporting.images import picture, titled
from dope.core.rundir import RunDirectory
from dope.core.training.timing import Phases

CONFIG = """
task: {name: vision.mlp}
dataset: {name: vision.digits, size: 8}
model: {name: vision.mlp, hidden: [256, 256], dropout: 0.5}
loss: {name: losses.softmax_cross_entropy}
optimizer: {name: adam, learning_rate: 0.003}
trainer: {epochs: 3, monitor: null}
"""
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def run(tmp_path):
    """A small run that is done, by the run folder's own writer."""
    made = RunDirectory.create(tmp_path / "runs", "vision.mlp")
    made.write_text("config.yaml", CONFIG)
    for epoch in (1, 2, 3):
        loss = {"loss": 1 / epoch, "valid_loss": 2 / epoch}
        made.add_metrics({"epoch": epoch, "step": 10 * epoch, **loss})
        phases = {"data": 0.5, "forward_backward": 2.0, "update": 1.0, "evaluation": 0.25}
        made.add_timings({"epoch": epoch, "steps": 10, "seconds": 3.75, "phases": phases})
    made.log("warning: a damaged checkpoint; using the one before")
    (made.plots / "confusion.png").write_bytes(PNG)
    (made.path / "samples" / "epoch-0001.txt").write_text("once upon", encoding="utf-8")
    made.write_json(
        "result.json",
        {
            "task": "vision.mlp",
            "status": "done",
            "started": "2026-01-02T03:04:05+0000",
            "settings": {"seed": 7, "contexts": "auto"},
            "metrics": {
                "valid_rmse": 1.5,
                "gain": 2.0,
                "baselines": {"mean": {"valid_rmse": 2.5}, "naive": {"valid_rmse": 1.25}},
            },
            "environment": {"MXNET_ENGINE_TYPE": "NaiveEngine", "host": "here"},
            "epochs": 3,
            "steps": 30,
            "seconds": 12.5,
        },
    )
    return made


def html(run) -> str:
    return page.html(reading.read(run.path), discover())


def text_of(document: str) -> str:
    """What stands between the tags, before the scripts."""
    body = document.partition("<body>")[2].partition("<script")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


def held(document: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', document, re.S)
    return json.loads(found[1])


def test_a_page_says_what_the_run_holds(run):
    document = html(run)
    text = text_of(document)
    assert "12.5 s 3 epochs 30 steps" in text
    assert "warning: a damaged checkpoint" in text
    assert "once upon" in text
    assert "orange cells are classes that are taken for each other" in text  # the task's caption
    assert "model.dropout 0.5 0 " in text.replace("–", "0")  # differs from the default
    assert "seed 7" in text
    assert "dope run vision.mlp" in text and "--seed 7" in text
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" in document
    assert "This run 1.5 mean 2.5 naive 1.25" in text
    assert re.search(r'class="n best">1.25<', document)  # smaller is better for RMSE


def test_curves_and_phases_are_the_numbers_that_were_written(run):
    data = held(html(run))
    [chart] = data["charts"]
    assert chart["title"] == "loss"
    assert [line["split"] for line in chart["lines"]] == ["train", "valid"]
    assert chart["lines"][1]["y"] == [2.0, 1.0, 2 / 3]
    phases = {each["name"]: each["seconds"] for each in data["phases"]}
    assert list(phases) == ["forward and backward", "update", "data", "evaluation"]  # slowest first
    assert phases["forward and backward"] == 6.0 and phases["data"] == 1.5


def test_a_page_fetches_nothing_and_runs_its_own_scripts_only(run):
    document = html(run)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', document)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy and "connect-src 'none'" in policy
    outside = re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', document)
    assert outside == []
    assert len(document) < 5_000_000


def test_markup_in_names_and_texts_is_text(run):
    evil = "</script><script>document.title='x'</script><img src=x onerror=alert(1)>\"'"
    (run.path / "samples" / "epoch-0002.txt").write_text(evil, encoding="utf-8")
    run.add_metrics({"epoch": 4, "step": 40, "loss": 1.0, f"{evil}": 2.0})
    run.log(f"warning: {evil}")
    document = html(run)
    assert "<script>document" not in document
    assert "<img src=x" not in document
    assert any(evil.replace("_", " ") == chart["title"] for chart in held(document)["charts"])


def test_reporting_imports_neither_mxnet_nor_numpy(run):
    code = (
        "import sys, dope\n"
        f"print(dope.report({str(run.path)!r}), dope.board({str(run.path.parents[1])!r}))\n"
        "print([n for n in ('mxnet', 'numpy', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert (run.path / "report.html").is_file()


DAMAGE = {
    "half a line": lambda run: (run.path / "metrics.jsonl").open("a").write('{"epoch": 4, "lo'),
    "no result": lambda run: (run.path / "result.json").unlink(),
    "no config": lambda run: (run.path / "config.yaml").unlink(),
    "half a result": lambda run: (run.path / "result.json").write_text('{"status": "do'),
    "a list": lambda run: (run.path / "result.json").write_text("[1, 2]"),
    "wrong types": lambda run: (run.path / "result.json").write_text(
        '{"status": 3, "metrics": [1], "settings": "x", "environment": 1, "epochs": "many"}'
    ),
    "deep": lambda run: (run.path / "result.json").write_text("[" * 100_000),
    "junk": lambda run: [
        (run.path / name).write_bytes(bytes(range(256)) * 9)
        for name in ("config.yaml", "result.json", "metrics.jsonl", "timings.jsonl", "log.txt")
    ],
    "odd rows": lambda run: (run.path / "metrics.jsonl").write_text(
        '7\n{"epoch": "x", "loss": 1}\n{"epoch": 1, "loss": [1]}\n{"epoch": 2, "loss": 1e999}\n'
    ),
    "folders": lambda run: [
        ((run.path / name).unlink(), (run.path / name).mkdir())
        for name in ("result.json", "metrics.jsonl", "config.yaml")
    ],
    "half a picture": lambda run: (run.plots / "confusion.png").write_bytes(PNG[:40]),
    "empty": lambda run: [p.unlink() for p in run.path.rglob("*") if p.is_file()],
    "surrogates": lambda run: (run.path / "result.json").write_text(
        '{"status": "done", "metrics": {"\\ud800": 1.0}, "error": "\\udfff\\u0000"}'
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_has_a_page_that_says_so(run, damage):
    DAMAGE[damage](run)
    path = dope.report(run.path, output=run.path.parent / "page.html")
    text = text_of(path.read_text(encoding="utf-8"))
    if damage not in ("half a line", "surrogates", "odd rows"):
        assert "To know of this run" in text
    if damage == "half a line":
        assert "damaged line" not in text
    if damage in ("no result", "no config", "half a result", "a list", "junk", "empty", "folders"):
        assert reading.read(run.path).status == "damaged"


def test_links_that_lead_out_of_a_run_are_not_followed(run, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret", encoding="utf-8")
    (run.path / "samples" / "epoch-0003.txt").symlink_to(secret)
    (run.path / "log.txt").unlink()
    (run.path / "log.txt").symlink_to(secret)
    assert "a secret" not in html(run)


def test_a_run_that_goes_on_has_a_page(run):
    (run.path / "result.json").write_text('{"status": "running", "metrics": {}}', encoding="utf-8")
    record = reading.read(run.path)
    assert record.status == "running" and not record.problems
    assert record.metrics == {"loss": 1 / 3, "valid_loss": 2 / 3}  # of the last epoch
    assert "running" in text_of(html(run))


def test_only_a_whole_png_is_a_picture(tmp_path):
    path = tmp_path / "a-b_01.png"
    for content, good in ((PNG, True), (PNG[:-9], False), (b"GIF89a", False), (b"", False)):
        path.write_bytes(content)
        assert (picture(path) is not None) == good
    assert titled("forecast-01") == "Forecast 1" and titled("error_by_popularity").startswith("Err")


def test_every_shipped_task_says_what_to_look_for():
    registry = discover()
    without = []
    for entry in registry.entries("task"):
        record = reading.Record(Path("x"), "x", entry.name)
        if not page._declared(registry, record)[1]:
            without.append(entry.name)
    assert not without


def test_phases_count_what_they_are_told(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("dope.core.training.timing.perf_counter", lambda: clock[0])
    phases = Phases()

    def items():
        for _ in range(3):
            clock[0] += 1.0
            yield None

    for _ in phases.waiting("data", items()):
        clock[0] += 2.0
        phases.add("step", 2.0)
    with phases.within("evaluation"):
        clock[0] += 5.0
    clock[0] += 0.5
    row = phases.row(1, updating=1.5)
    assert row["steps"] == 3 and row["seconds"] == 14.5
    assert row["phases"] == {
        "data": 3.0,
        "forward_backward": 4.5,
        "update": 1.5,
        "evaluation": 5.0,
        "samples": 0.0,
        "checkpoints": 0.0,
        "other": 0.5,
    }
    assert phases.row(2, 0.0)["seconds"] == 0.0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny run with all callbacks, stopped after two epochs and resumed for two more."""
    root = tmp_path_factory.mktemp("trained")
    given = {"profile": "tiny", "runs": root, "trainer": {"epochs": 2}}
    board = dope.TensorBoard()
    run = dope.run("vision.softmax", callbacks=[board, dope.CSV()], **given)
    board.finish(run.path)
    board = dope.TensorBoard()
    again = dope.resume(
        run.path, overrides=["trainer.epochs=4"], callbacks=[board, dope.CSV()], runs=root
    )
    board.finish(again.path)
    return again


def test_tensorboard_reads_the_numbers_of_metrics_jsonl(trained):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(
        str(trained.path / "tensorboard"),
        size_guidance=dict.fromkeys(("scalars", "images", "histograms", "tensors"), 0),
    )
    found.Reload()
    expected = {}
    for row in trained.history:
        for key, value in row.items():
            if key not in ("epoch", "step") and isinstance(value, float):
                expected.setdefault(key, []).append((row["step"], np.float32(value)))
    tags = found.Tags()
    assert set(tags["scalars"]) == set(expected) and len(trained.history) == 4
    for key, points in expected.items():
        assert [(e.step, np.float32(e.value)) for e in found.Scalars(key)] == points
    assert "plots/confusion" in tags["images"]
    assert found.Images("plots/confusion")[0].width > 100
    weights = [each for each in tags["histograms"] if "weight" in each]
    [last] = found.Histograms(weights[0])[-1:]
    assert last.histogram_value.num == 640 and last.step == trained.result["steps"]
    assert any(tag.startswith("config") for tag in tags["tensors"])


def test_csv_holds_the_rows_of_metrics_jsonl(trained):
    with (trained.path / "metrics.csv").open(newline="", encoding="utf-8") as handle:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(handle)]
    assert rows == trained.history


def test_timings_have_a_row_an_epoch_that_adds_up(trained):
    rows = trained.directory.timings()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row["steps"] == 4
        assert sum(row["phases"].values()) == pytest.approx(row["seconds"], abs=1e-4)
        assert row["phases"]["forward_backward"] > 0 and row["phases"]["update"] > 0


def test_times_are_no_columns_of_metrics(trained):
    assert list(trained.history[0]) == ["epoch", "step", "loss", "accuracy", "test_loss",
                                        "test_accuracy"]  # fmt: skip
