"""Runs side by side: what differs, which is best, what is left out, and how wide it is shown.

The runs are written by hand, so nothing is trained; sweeps that are real are in test_sweeping.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dope.core.comparing.plots import names
from dope.core.comparing.runs import compare, larger_is_better
from dope.core.errors import RunError
from dope.core.sweeping.folder import SweepDirectory
from dope.core.terminal.commands import compared_text

CONFIG = """task:
  name: {task}
dataset: null
model:
  name: toy.net
  units: {units}
optimizer:
  name: adam
  learning_rate: {rate}
trainer:
  epochs: 3
  milestones: [1, 2]
  monitor: {monitor}
  mode: {mode}
"""


def write(path: Path, status="done", history=(), seed=0, result=None, metrics=None, **options):
    """A run's folder, as `dope run` leaves it."""
    path.mkdir(parents=True)
    given = {"task": "toy.one", "units": 8, "rate": 0.1, "monitor": "null", "mode": "auto"}
    (path / "config.yaml").write_text(CONFIG.format(**{**given, **options}))
    made = {
        "task": options.get("task", "toy.one"),
        "status": status,
        "settings": {"contexts": "auto", "seed": seed, "hybridize": True},
        "environment": {"dope": "0.1.0", "mxnet": "1.9.1"},
        "metrics": {"loss": 0.5} if metrics is None else metrics,
        "epochs": 3,
        "seconds": 1.5,
    }
    (path / "result.json").write_text(json.dumps(made) if result is None else result)
    rows = history or [{"epoch": i, "step": i, "loss": 1.0 / i} for i in (1, 2, 3)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def two(tmp_path):
    runs = tmp_path / "runs"
    first = write(
        runs / "toy.one" / "20260101-000000-aaaa",
        metrics={"loss": 0.5, "valid_accuracy": 0.7, "alpha": 1.0, "wait": {"mean": 2.0}},
    )
    second = write(
        runs / "toy.one" / "20260102-000000-bbbb",
        rate=0.2,
        seed=3,
        metrics={"loss": 0.4, "valid_accuracy": 0.6, "alpha": 2.0, "wait": {"mean": 3.0}},
    )
    return runs, first, second


def test_only_what_differs_is_shown(two):
    runs, first, second = two
    found = compare(first, second, root=runs)
    assert found.differing == {"optimizer.learning_rate": [0.1, 0.2], "run.seed": [0, 3]}
    assert [run.label for run in found.runs] == ["aaaa", "bbbb"]
    assert found.metrics["wait.mean"] == [2.0, 3.0] and found.metrics["run.seconds"] == [1.5, 1.5]
    assert found.plot == runs / "compare.png" and found.plot.read_bytes()[:4] == b"\x89PNG"
    assert found.left_out == []


def test_the_best_is_marked_where_a_direction_is_known(two):
    runs, first, second = two
    found = compare(first, second, root=runs)
    assert found.best == {"loss": 1, "valid_accuracy": 0}
    text = compared_text(found, 100)
    assert "0.4*" in text and "0.7*" in text and "0.5*" not in text and "2*" not in text
    asked = write(runs / "toy.one" / "x-cccc", monitor="alpha", mode="max", metrics={"alpha": 0.5})
    assert compare(first, second, asked, root=runs).best["alpha"] == 1


@pytest.mark.parametrize(
    ("name", "larger"),
    [
        ("valid_accuracy", True),
        ("log_likelihood", True),
        ("valid_ndcg@10", True),
        ("test_loss", False),
        ("log_rmse", False),
        ("simpler.mase", False),
        ("perplexity", False),
        ("alpha", None),
        ("closs", None),
        ("run.seconds", None),
    ],
)
def test_directions(name, larger):
    assert larger_is_better(name) is larger


def test_equal_figures_have_no_best(tmp_path):
    found = compare(write(tmp_path / "a"), write(tmp_path / "b"), root=tmp_path)
    assert found.best == {} and found.differing == {}
    assert "no option differs" in compared_text(found, 100)


def test_damaged_and_unfinished_runs_are_named_and_left_out(two, inside):
    runs, first, second = two
    where = runs / "toy.one"
    write(where / "x-1", status="interrupted")
    write(where / "x-2", result="{")
    write(where / "x-3")
    (where / "x-3" / "config.yaml").write_text("a: [")
    (where / "x-4").mkdir()
    args = [where / f"x-{i}" for i in (1, 2, 3, 4)]
    done = inside("compare", first, *args, second, "--runs", runs, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert [run["label"] for run in found["runs"]] == ["aaaa", "bbbb"]
    assert [Path(each["run"]).name for each in found["left_out"]] == ["x-1", "x-2", "x-3", "x-4"]
    warnings = done.stderr.splitlines()
    assert len(warnings) == 4 and all(line.startswith("warning: ") for line in warnings)
    for line, why in zip(warnings, ("not done but interrupted", "result.json", "x-3", "no run")):
        assert why in line
    with pytest.raises(RunError, match=r"1 of 2 runs can be compared.*interrupted"):
        compare(first, where / "x-1", root=runs)


def test_names_of_runs_and_sweeps(two, inside):
    runs, first, second = two
    found = compare("last", "aaaa", root=runs)
    assert [run.path for run in found.runs] == [second, first]
    assert len(compare(first, second, first, root=runs).runs) == 2  # each once
    sweep = SweepDirectory.create(runs, "toy.one")
    sweep.write({"task": "toy.one"})
    for number in (1, 2, 3):
        write(sweep.member(number), units=number)
    for name in (sweep.path, sweep.path.name[-4:]):
        found = compare(name, root=runs)
        assert [run.label for run in found.runs] == ["0001", "0002", "0003"]
        assert found.differing == {"model.units": [1, 2, 3]}
    assert [run.label for run in compare(sweep.path, first, root=runs).runs][-1] == "aaaa"
    done = inside("compare", "nobody", "--runs", runs)
    assert done.exit_code == 1 and "there is no run 'nobody'" in done.stderr


def test_the_same_short_names_become_longer(tmp_path):
    paths = [write(tmp_path / task / "20260101-000000-aaaa") for task in ("a.x", "b.x")]
    labels = [run.label for run in compare(*paths, root=tmp_path).runs]
    assert labels[0].endswith("a.x/20260101-000000-aaaa") and labels[0] != labels[1]


def test_runs_of_different_tasks_share_what_is_common(tmp_path, monkeypatch):
    one = [{"epoch": 1, "loss": 1.0, "valid_loss": 2.0, "one": 1.0}]
    two = [{"epoch": 1, "loss": 2.0, "two": 1.0}]
    paths = [
        write(tmp_path / "a", history=one, metrics={"loss": 1.0, "one": 1.0}),
        write(tmp_path / "b", history=two, metrics={"loss": 2.0, "two": 1.0}, task="toy.two"),
    ]
    kept = []
    monkeypatch.setattr(
        "dope.core.comparing.plots.save", lambda fig, path: kept.append(fig) or path
    )
    found = compare(*paths, root=tmp_path)
    assert found.metrics["one"] == [1.0, None] and found.metrics["two"] == [None, 1.0]
    assert found.differing["task"] == ["toy.one", "toy.two"]
    assert [axes.get_title("left") for axes in kept[0].axes] == ["loss"]
    assert len(kept[0].axes[0].lines) == 3  # training and validation, and training
    text = compared_text(found, 240)  # a path is longer where tests run in parallel
    assert "toy.two" in text.splitlines()[1]
    alone = write(tmp_path / "c", history=[{"epoch": 1, "other": 1.0}], task="toy.three")
    assert compare(paths[0], alone, root=tmp_path).plot is None


@pytest.mark.parametrize("count", [2, 6, 30])
@pytest.mark.parametrize("width", [60, 100])
def test_the_text_is_never_wider_than_the_terminal(tmp_path, count, width):
    paths = [
        write(
            tmp_path / "toy.one" / f"2026-{i:04x}",
            rate=0.123456 * i,
            seed=i,
            units=f"[{'1234567, ' * 9}{i}]",
            metrics={f"a_long_name_of_a_figure_{j}": 1.2345678 * i * j for j in range(1, 9)},
        )
        for i in range(count)
    ]
    found = compare(*paths, root=tmp_path)
    text = compared_text(found, width)
    tables = text.split("\n\n")[1:-1]
    assert max(len(line) for table in tables for line in table.splitlines()) <= width
    for key in found.metrics:
        assert key in text
    heads = {table.split()[0] for table in tables}
    if (count, width) in ((2, 100), (30, 60)):
        assert heads == ({"differs", "figure"} if count == 2 else {"run"})
    if count == 30:
        assert "… and 11 more" not in text and text.count("\n001d  ") >= 2  # the last run, too


def test_labels_in_the_picture_say_what_differs(two):
    runs, first, second = two
    found = compare(first, second, root=runs)
    assert names(found) == ["aaaa  learning_rate=0.1 seed=0", "bbbb  learning_rate=0.2 seed=3"]


def test_output_goes_where_it_is_asked_to(two, inside):
    runs, first, second = two
    file = runs / "deeper" / "curves.png"
    done = inside("compare", first, second, "--runs", runs, "--output", file)
    assert done.exit_code == 0 and done.stdout.splitlines()[-1] == str(file)
    assert file.is_file() and not (runs / "compare.png").exists()
    (runs / "blocked").write_text("")
    done = inside("compare", first, second, "--runs", runs, "--output", runs / "blocked" / "x.png")
    assert done.exit_code == 1 and "cannot write" in done.stderr
