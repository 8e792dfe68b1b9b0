"""Sweeps from their start to their table: members, failures, interrupts, and who is best.

The grammar of their values is tested in test_points.py; the task is the toy of conftest.py.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import statistics
import time
from pathlib import Path

import numpy as np
import pytest

from dope.core.errors import ConfigError, RunError
from dope.core.rundir import RunDirectory
from dope.core.sweeping import pool, verbs
from dope.core.sweeping.folder import SweepDirectory
from dope.core.sweeping.outcome import Sweep
from dope.core.sweeping.plots import Scale, picture
from dope.core.sweeping.points import read
from dope.core.sweeping.progress import Lines, Quiet
from dope.core.sweeping.standings import best_of, bests, figure_of, standings

DYING = """
from dope.core.hookspecs import hookimpl

@hookimpl
def register_tasks(register):
    register("dying.regression", "dying_code:Dying", summary="Die while a file is there")
"""
DYING_CODE = '''
import os
from pathlib import Path
from typing import Optional
from toy_code import Regression

class Dying(Regression):
    """Die while a file is there.

    Parameters
    ----------
    file
        The file.
    how
        By a signal, a code or an error.
    """
    defaults = {
        "dataset": "toy.line", "model": "toy.net", "loss": "toy.square",
        "optimizer": {"name": "adam", "learning_rate": 0.02}, "trainer": {"batch_size": 8},
    }

    def __init__(self, *, file: Path, how: Optional[str] = None) -> None:
        super().__init__()
        self.file, self.how = file, how

    def step(self, engine, batch):
        print("this is printed")
        if self.steps == 3 and self.how and self.file.exists():
            if self.how == "signal":
                os.kill(os.getpid(), 9)
            if self.how == "code":
                os._exit(3)
            raise ValueError("as it was\\nasked to")
        return super().step(engine, batch)
'''
LR = "optimizer.learning_rate"


@pytest.fixture
def fast(monkeypatch):
    """Members that compute on one thread each, as two would where nothing is set."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def only_sweep(runs: Path) -> Path:
    (path,) = SweepDirectory.all(runs)
    return path


def table(path: Path) -> list[dict[str, str]]:
    """Rows of table.csv without what may differ from one sweep to the same again."""
    rows = list(csv.DictReader((path / "table.csv").open()))
    for row in rows:
        for key in ("seconds", "members"):
            row.pop(key)
    return rows


# One sweep from end to end


@pytest.fixture(scope="module")
def grid(toy, tmp_path_factory):
    """A sweep of four points with two seeds each: what came out, and its folder."""
    runs = tmp_path_factory.mktemp("grid")
    config = runs / "given.yaml"
    config.write_text("trainer: {epochs: 3}\n")
    words = [f"{LR}=0.01,0.1", "model.units=2,8", "dataset.n=24", "--seeds", 2, "--seed", 5]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(toy.env, "OMP_NUM_THREADS", "1")
        done = toy.dope("sweep", "toy.regression", *words, "--config", config, "--runs", runs)
    assert done.returncode == 0, done.stderr
    return done, only_sweep(runs)


def test_members_are_ordinary_runs(grid, inside):
    _, path = grid
    members = SweepDirectory(path).members()
    assert [member.name for member in members] == [f"000{i}" for i in range(1, 9)]
    results = [RunDirectory(member).read_json("result.json") for member in members]
    assert [result["settings"]["seed"] for result in results] == [5, 6] * 4
    assert {result["environment"]["OMP_NUM_THREADS"] for result in results} == {"1"}
    figures = json.loads(inside("eval", members[3], "--json").stdout)
    assert figures["valid_loss"] == pytest.approx(results[3]["metrics"]["valid_loss"], rel=1e-6)
    assert len(json.loads(inside("predict", members[3], "--json").stdout)["rows"]) == 24


def test_a_member_is_what_dope_run_makes_of_it(grid, toy, tmp_path):
    _, path = grid
    words = [f"{LR}=0.1", "model.units=2", "dataset.n=24", "trainer.epochs=3", "--seed", "6"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(toy.env, "OMP_NUM_THREADS", "1")
        done = toy.dope("run", "toy.regression", *words, "--runs", tmp_path)
    assert done.returncode == 0, done.stderr
    member = path / "members" / "0006"  # the third point's second seed, after others in a process
    assert toy.final_arrays(member) == toy.final_arrays(toy.only_run(tmp_path))


def test_the_order_is_that_of_the_mean_over_seeds_of_the_best_epoch(grid):
    done, path = grid
    expected = []
    for place, (rate, units) in enumerate([(r, u) for r in ("0.01", "0.1") for u in "28"]):
        found = []
        for number in (2 * place + 1, 2 * place + 2):
            rows = RunDirectory(path / "members" / f"000{number}").metrics()
            found.append(min(row["valid_loss"] for row in rows))
        expected.append((statistics.mean(found), np.std(found, ddof=1), rate, units))
    expected.sort()
    rows = table(path)
    assert [(row[LR], row["model.units"]) for row in rows] == [(r, u) for *_, r, u in expected]
    np.testing.assert_allclose([float(row["valid_loss"]) for row in rows], [e[0] for e in expected])
    np.testing.assert_allclose([float(row["spread"]) for row in rows], [e[1] for e in expected])
    head, rule, *lines = done.stdout.splitlines()
    keys = ["learning_rate", "units"]
    assert head.split() == [*keys, "valid_loss", "spread", "epoch", "s", "status"]
    assert [tuple(line.split()[:2]) for line in lines[:4]] == [(r, u) for *_, r, u in expected]
    assert "dataset.n" not in head and set(rule) == {"-", " "}  # what is fixed is no column


def test_the_best_point_is_a_command_and_a_file(grid, inside):
    done, path = grid
    best = table(path)[0]
    command = re.search(r"^best: (dope run .*)$", done.stdout, flags=re.M)[1]
    words = shlex.split(command)[1:]
    assert f"{LR}={best[LR]}" in words and "dataset.n=24" in words and words[-2:] == ["--seed", "5"]
    dry = json.loads(inside(*words, "--dry-run", "--json").stdout)["config"]
    again = inside("run", "toy.regression", "--config", path / "best.yaml", "--dry-run", "--json")
    assert json.loads(again.stdout)["config"] == dry
    assert dry["trainer"]["epochs"] == 3 and dry["dataset"]["n"] == 24  # of the file, of a word
    lines = done.stdout.splitlines()
    assert lines[-1] == str(path) and all(Path(line).is_file() for line in lines[-4:-1])


def test_progress_is_lines_where_there_is_no_terminal(grid):
    done, _ = grid
    lines = done.stderr.splitlines()
    pattern = r"\d of 8  best valid_loss [\d.e-]+  \d+:\d\d left"
    assert lines and all(re.fullmatch(pattern, line) for line in lines), lines


def test_a_sweep_does_not_hide_the_last_run(grid, inside):
    _, path = grid
    runs = path.parents[2]
    assert "no run 'last'" in inside("eval", "last", "--runs", runs).stderr
    assert SweepDirectory.find("last", runs).path == path
    assert SweepDirectory.find(path.name[-4:], runs).path == path
    with pytest.raises(RunError, match="there is no sweep 'yesterday'"):
        SweepDirectory.find("yesterday", runs)


def test_a_sweep_that_is_done_is_only_shown_again(grid, inside):
    done, path = grid
    before = {p: p.stat().st_mtime_ns for p in path.glob("members/*/result.json")}
    again = inside("sweep", "--resume", path.name[-4:], "--runs", path.parents[2], "--json")
    shown = json.loads(again.stdout)
    assert {p: p.stat().st_mtime_ns for p in path.glob("members/*/result.json")} == before
    assert shown["figure"] == "valid_loss" and not shown["larger_is_better"]
    assert [each["values"][LR] for each in shown["points"]] == [row[LR] for row in table(path)]
    assert f"best: {shown['best']['command']}" in done.stdout
    assert Path(shown["plot"]).read_bytes()[:4] == b"\x89PNG"
    assert len(shown["points"][0]["figures"]) == 2


# What goes wrong


def test_failures_are_rows_and_not_fatal(toy, fast, tmp_path, monkeypatch):
    """An error, a death by signal, a death by code, and then on; --retry when it is mended."""
    site = tmp_path / "site"
    site.mkdir()
    toy.install(site, "dying", DYING)
    (site / "dying_code.py").write_text(DYING_CODE)
    monkeypatch.setitem(toy.env, "PYTHONPATH", f"{site}{os.pathsep}{toy.env['PYTHONPATH']}")
    monkeypatch.setitem(toy.env, "OMP_NUM_THREADS", "1")
    runs, file = tmp_path / "runs", tmp_path / "deadly"
    file.touch()
    words = ["task.how=signal,code,error,null", f"task.file={file}", "trainer.epochs=2"]
    where = ["--runs", runs, "--jobs", "1"]
    done = toy.dope("sweep", "dying.regression", *words, *where)
    assert done.returncode == 0, done.stderr
    path = only_sweep(runs)
    rows = {row["task.how"]: row for row in table(path)}
    assert [rows[how]["status"] for how in ("signal", "code", "error", "null")] == [
        *["failed"] * 3,
        "done",
    ]
    assert "killed by signal 9 (SIGKILL)" in rows["signal"]["error"]
    assert "ended with code 3" in rows["code"]["error"]
    assert rows["error"]["error"] == "unexpected ValueError: as it was"
    said = done.stderr.splitlines()
    assert sum("failed: " in line for line in said) == 3 and "Traceback" not in done.stderr
    log = (path / "workers.txt").read_text()
    assert "Traceback" in log and "this is printed" in log and "this is printed" not in done.stdout
    assert "failed: unexpected ValueError" in " ".join(done.stdout.split())

    kept = (path / "members" / "0004" / "result.json").stat().st_mtime_ns
    again = toy.dope("sweep", "--resume", "last", *where)
    assert again.returncode == 0 and len(json_rows(path)) == 4  # nothing is run again
    file.unlink()
    again = toy.dope("sweep", "--resume", "last", "--retry", *where)
    assert again.returncode == 0, again.stderr
    assert {row["status"] for row in table(path)} == {"done"} and len(json_rows(path)) == 7
    assert (path / "members" / "0004" / "result.json").stat().st_mtime_ns == kept
    figures = {float(row["valid_loss"]) for row in table(path)}
    assert len(figures) == 1  # killed and gone on, or not: the same


def json_rows(path: Path) -> list[str]:
    return (path / "members.jsonl").read_text().splitlines()


def test_when_all_fail_so_does_the_sweep(inside, fast, tmp_path):
    args = ["task.fault=value", "model.units=3,4", "--runs", tmp_path, "--jobs", "1", "--quiet"]
    done = inside("sweep", "toy.regression", *args)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: all of the sweep's runs failed: unexpected ValueError")
    assert f"dope sweep --resume {only_sweep(tmp_path)} --retry" in done.stderr
    assert done.stdout.count("failed: unexpected ValueError") == 2
    assert not (only_sweep(tmp_path) / "best.yaml").exists()


WRONG = {
    "no task": ([], "needs a TASK"),
    "no task but keys": (["model.units=1"], "needs a TASK"),
    "a typo in a key": (["toy.regression", "model.unit=1,2"], "Did you mean 'units'?"),
    "a wrong value": (["toy.regression", "model.units=1,x"], "1 of 2 points cannot be"),
    "out of range": (["toy.regression", "trainer.epochs=-2..3", "--n", "9"], "out of range"),
    "a range without n": (["toy.regression", "model.units=1..3"], "--n 20"),
    "no seeds": (["toy.regression", "--seeds", "0"], "--seeds 0"),
    "no jobs": (["toy.regression", "--jobs", "0"], "--jobs 0"),
    "retry at the start": (["toy.regression", "--retry"], "--retry goes with --resume"),
    "resume with a task": (["--resume", "last", "toy.regression"], "Leave toy.regression out"),
    "resume with a seed": (["--resume", "last", "--seed", "3"], "Leave --seed out"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_before_anything_is_written(inside, tmp_path, monkeypatch, what):
    args, words = WRONG[what]
    monkeypatch.chdir(tmp_path)
    done = inside("sweep", *args)
    assert done.exit_code == 2 and words in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_classes_of_ones_own_are_refused():
    with pytest.raises(ConfigError, match="not the name of a task"):
        verbs.sweep(object)


# Interrupted, killed, extended

SLOW = ["model.units=4,8,16", "trainer.epochs=6", "task.pause=0.03", "--seed", "3", "--jobs", "1"]


@pytest.fixture(scope="module")
def undisturbed(toy, tmp_path_factory):
    """The sweep SLOW, which nobody stopped, but without the pauses."""
    runs = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(toy.env, "OMP_NUM_THREADS", "1")
        words = [word.replace("0.03", "0.0") for word in SLOW]
        done = toy.dope("sweep", "toy.regression", *words, "--runs", runs)
    assert done.returncode == 0, done.stderr
    return only_sweep(runs)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_that_was_stopped_ends_as_if_it_had_not_been(
    toy, undisturbed, tmp_path, monkeypatch, sent
):
    monkeypatch.setitem(toy.env, "OMP_NUM_THREADS", "1")
    process = toy.start("sweep", "toy.regression", *SLOW, "--runs", tmp_path)
    began = time.monotonic()
    second = "sweeps/*/*/members/0002/checkpoints/[0-9]*.json"
    while not list(tmp_path.glob(second)):
        assert process.poll() is None and time.monotonic() - began < 300, process.communicate()
        time.sleep(0.01)
    process.send_signal(sent)
    _, said = process.communicate(timeout=300)
    path = only_sweep(tmp_path)
    if sent != signal.SIGKILL:
        assert process.returncode == 130
        assert said.splitlines()[-1] == (
            f"interrupted with 1 of 3 points done. Go on with: dope sweep --resume {path}"
        )
    while (state := status(path, 2)) == "running":  # it stops by itself when nobody listens
        assert time.monotonic() - began < 300
        time.sleep(0.05)
    assert state == "interrupted" and not (path / "members" / "0003").exists()
    first = (path / "members" / "0001" / "result.json").stat().st_mtime_ns
    done = resumed(toy, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (path / "members" / "0001" / "result.json").stat().st_mtime_ns == first
    for name in ("0001", "0002", "0003"):
        ours, theirs = path / "members" / name, undisturbed / "members" / name
        assert toy.final_arrays(ours) == toy.final_arrays(theirs)
        assert (ours / "metrics.jsonl").read_text() == (theirs / "metrics.jsonl").read_text()
    ours, theirs = table(path), table(undisturbed)
    assert [{**row, "task.pause": "0.0"} for row in ours] == theirs
    assert "resumed after step" in (path / "members" / "0002" / "log.txt").read_text()


def resumed(toy, runs: Path):
    """``dope sweep --resume last``, once the processes of the killed one have let go."""
    for _ in range(100):
        done = toy.dope("sweep", "--resume", "last", "--runs", runs)
        if "is running" not in done.stderr:
            break
        time.sleep(0.1)
    return done


def status(path: Path, member: int) -> str:
    result = RunDirectory(path / "members" / f"{member:04d}").read_json("result.json")
    return "running" if result is None else result["status"]


def test_a_larger_n_extends_a_sweep(inside, fast, tmp_path):
    words = ["toy.regression", f"{LR}=0.001..0.1:log", "trainer.epochs=1", "--jobs", "1", "--quiet"]
    runs = ["--runs", tmp_path, "--json"]
    first = json.loads(inside("sweep", *words, "--n", "2", *runs).stdout)
    path = only_sweep(tmp_path)
    kept = (path / "members" / "0001" / "result.json").stat().st_mtime_ns
    more = json.loads(inside("sweep", "--resume", "last", "--n", "3", "--quiet", *runs).stdout)
    assert (path / "members" / "0001" / "result.json").stat().st_mtime_ns == kept
    drawn = {each["point"]: each["values"] for each in more["points"]}
    assert [drawn[i] for i in (1, 2, 3)] == read(words[1:3]).points(3)
    assert {e["point"]: e["figure"] for e in first["points"]}.items() <= {
        e["point"]: e["figure"] for e in more["points"]
    }.items()
    less = inside("sweep", "--resume", "last", "--n", "1", "--runs", tmp_path)
    assert less.exit_code == 2 and "has 3 points already" in less.stderr


def test_a_sweep_runs_once_at_a_time(tmp_path):
    directory = SweepDirectory.create(tmp_path, "toy.regression")
    with directory.alone(), pytest.raises(RunError, match="is running"), directory.alone():
        raise AssertionError
    with directory.alone():
        pass


def test_a_folder_is_new_or_it_is_said_why_there_is_none(tmp_path):
    folders = [SweepDirectory.create(tmp_path, "toy.regression").path for _ in range(3)]
    assert len(set(folders)) == 3
    assert sorted(path.name for path in folders[0].iterdir()) == ["members", "plots"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot make the folder .*/file/sweeps/toy\.regression/"):
        SweepDirectory.create(tmp_path / "file", "toy.regression")


def test_a_damaged_sweep_is_named(tmp_path, inside):
    directory = SweepDirectory.create(tmp_path, "toy.regression")
    (directory.path / "sweep.json").write_text('{"task": ')
    done = inside("sweep", "--resume", directory.path)
    assert done.exit_code == 1 and "sweep.json is damaged" in done.stderr


def test_from_python(toy, fast, tmp_path, monkeypatch, capsys):
    import dope

    monkeypatch.syspath_prepend(toy.site)
    monkeypatch.setattr(pool, "RENEWED", 1)
    started, start = [], pool.subprocess.Popen
    monkeypatch.setattr(
        pool.subprocess,
        "Popen",
        lambda *args, **more: started.append(start(*args, **more)) or started[-1],
    )
    words = ["model.units=2,3", "trainer.epochs=1"]
    found = dope.sweep("toy.regression", *words, runs=tmp_path, jobs=1)
    assert [each.status for each in found.standings] == ["done", "done"] and found.best
    assert repr(found).startswith("Sweep(toy.regression, 2 points, best valid_loss ")
    assert [s.figure for s in verbs.load(found.path).standings] == [
        s.figure for s in found.standings
    ]
    assert capsys.readouterr() == ("", "")
    assert [process.returncode for process in started] == [0, 0]  # each had one member


# Who is best


def row(member, value, epoch=1, status="done", error="", name="valid_loss", seconds=1.0):
    found = {} if value is None else {name: (value, epoch)}
    return {
        "member": member, "status": status, "error": error, "bests": found, "seconds": seconds,
    }  # fmt: skip


POINTS = [{"k": "a"}, {"k": "b"}, {"k": "c"}, {"k": "d"}, {"k": "e"}]


def rows_of(*rows):
    return {each["member"]: each for each in rows}


def test_points_are_ranked_by_means_and_lucky_ones_come_later():
    rows = rows_of(
        row(1, 3.0, 2), row(2, 1.0, 5),  # a: 2
        row(3, 0.1), row(4, None, status="failed", error="it broke"),  # b: one of two
        row(5, 1.5), row(6, 1.7),  # c: 1.6
        row(7, None, status="failed", error="x"), row(8, None, status="failed", error="x"),
        row(9, 1.0), row(10, None, status="interrupted"),
    )  # fmt: skip
    ranked = standings(POINTS, 2, rows, "valid_loss", larger=False)
    assert [each.values["k"] for each in ranked] == ["c", "a", "b", "e", "d"]
    assert [each.status for each in ranked] == ["done", "done", "partly", "waiting", "failed"]
    assert ranked[1].figure == 2.0 and ranked[1].epoch == 3.5
    assert ranked[1].spread == pytest.approx(np.std([3.0, 1.0], ddof=1))
    assert ranked[2].spread is None and ranked[2].errors == ["it broke"]
    assert ranked[4].errors == ["x"] and ranked[4].seconds == 2.0
    assert best_of(ranked) is ranked[0]
    other = standings(POINTS, 2, rows, "valid_loss", larger=True)
    assert [each.values["k"] for each in other] == ["a", "c", "b", "e", "d"]
    assert best_of(standings(POINTS, 2, {}, "loss", larger=False)) is None


HISTORY = [
    {"epoch": 1, "loss": 3.0, "valid_loss": 2.0, "valid_accuracy": 0.5},
    {"epoch": 2, "loss": 2.0, "valid_loss": 1.0, "valid_accuracy": None},
    {"epoch": 3, "loss": 1.0, "valid_loss": 1.0, "valid_accuracy": 0.4},
]


def test_the_best_of_a_run_is_that_of_its_best_epoch():
    result = {"epochs": 3, "metrics": {"mase": 0.7, "valid_accuracy": 0.4, "worst": float("nan")}}
    found = bests(HISTORY, result, None, larger=False)
    assert found == {"valid_loss": (1.0, 2), "loss": (1.0, 3)}
    assert bests(HISTORY, result, "valid_accuracy", larger=True) == {"valid_accuracy": (0.5, 1)}
    assert bests(HISTORY, result, "mase", larger=False) == {"mase": (0.7, 3)}  # known at the end
    assert bests(HISTORY, result, "worst", larger=False) == {}
    folds = {"folds": {"1": {}, "mean": {"valid_loss": 1.4}, "sd": {"valid_loss": 0.1}}}
    found = bests(HISTORY, {"epochs": 3, "metrics": folds}, "valid_loss", larger=False)
    assert found == {"valid_loss": (1.4, 3)}


def test_the_figure_is_one_that_all_have():
    both = {"bests": {"valid_loss": (1, 1), "loss": (2, 1)}, "status": "done"}
    one = {"bests": {"loss": (2, 1)}, "status": "done"}
    assert figure_of({1: both, 2: both, 3: {"status": "failed"}}, None) == "valid_loss"
    assert figure_of({1: both, 2: one}, None) == "loss" == figure_of({}, None)
    assert figure_of({1: one}, "mase") == "mase"
    (each,) = standings([{"k": "a"}], 1, rows_of(row(1, 1.0)), "mase", larger=False)
    assert each.status == "failed" and each.errors == ["no figure 'mase' came of it"]


# What is shown


def test_lines_say_failures_at_once_and_how_long_it_takes(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    out = io.StringIO()
    lines = Lines(5, {1: row(1, 0.5)}, larger=False, stream=out, seconds=2.0)
    now[0] = 101.0
    lines.over(row(2, 0.7))  # too soon for a line
    lines.over(row(3, None, status="failed", error="it broke"))
    now[0] = 110.0
    lines.share(5, 0.5)
    lines.over(row(4, 0.25))
    assert out.getvalue().splitlines() == [
        "member 3 failed: it broke",
        # 3.5 members in 10 seconds, half a one to go
        "4 of 5  best valid_loss 0.25  1 failed  0:01 left",
    ]


def test_the_best_so_far_follows_the_direction():
    shown = Quiet(3, {}, larger=True)
    assert shown.left is None
    for value in (0.2, 0.9, 0.5):
        shown.over(row(1, value))
    shown.over(row(1, None, status="interrupted"))
    assert shown.text == "3 of 3  best valid_loss 0.9"


def made(words, n=None, seeds=1, larger=False, failed=()):
    points = read(words).points(n)
    rng = np.random.default_rng(0)
    rows = {}
    for member in range(1, len(points) * seeds + 1):
        bad = member in failed
        status = "failed" if bad else "done"
        rows[member] = row(member, None if bad else rng.uniform(0.1, 1.0), status=status)
    ranked = standings(points, seeds, rows, "valid_loss", larger=larger)
    spec = {"task": "toy.regression", "settings": words, "points": points, "seeds": seeds}
    return Sweep(SweepDirectory("."), spec, "done", "valid_loss", larger, ranked)


@pytest.mark.parametrize(
    ("words", "n", "panels"),
    [
        (["a.x=1e-3..1"], 9, 1),
        (["a.x=p,q,r"], None, 1),
        (["a.x=1,2,3", "a.y=1,2,3"], None, 2),  # the second is a bar of colours
        (["a.x=p,q", "a.y=1..9"], 12, 1),
        (["a.x=0.0..9.0", "a.y=1e-3..1"], 12, 2),
        (["a.x=1..9", "a.y=1e-3..1", "b=p,q", "a.z=0..1"], 12, 4),
        (["a.x=1"], None, 1),
    ],
    ids=["one key", "names", "heat map", "lines", "cloud", "panels", "one point"],
)
def test_the_picture_fits_the_keys(tmp_path, monkeypatch, words, n, panels):
    kept = []
    monkeypatch.setattr("dope.core.sweeping.plots.save", lambda fig, path: kept.append(fig) or path)
    assert picture(tmp_path / "p.png", made(words, n, failed=(2,))) == tmp_path / "p.png"
    assert len([axes for axes in kept[0].axes if axes.get_visible()]) == panels
    kept[0].canvas.draw()


def test_nothing_is_drawn_when_all_failed(tmp_path):
    assert picture(tmp_path / "p.png", made(["a.x=1,2"], failed=(1, 2))) is None


def test_numbers_lie_by_size_and_names_side_by_side():
    (axis,) = read(["a.x=10,2,300"]).axes
    scale = Scale(axis, axis.texts)
    assert scale.texts == ["2", "10", "300"] and scale.numeric and scale.log
    (axis,) = read(["a.x=sgd,3,adam"]).axes
    scale = Scale(axis, axis.texts)
    standing = standings([{"a.x": "adam"}], 1, {}, "loss", larger=False)[0]
    assert not scale.numeric and scale.at(standing) == 2.0
    assert not Scale(read(["a.x=0,1000"]).axes[0], ["0", "1000"]).log


def test_processes_share_the_cores_but_the_users_word_wins(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert pool.environment(2, 8)["OMP_NUM_THREADS"] == "4"
    assert pool.environment(3, 2)["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in pool.environment(1, 8)  # the backend knows better
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert pool.environment(4, 8)["OMP_NUM_THREADS"] == "7"


def test_completion_of_values_and_sweeps(toy, grid, monkeypatch):
    from click.shell_completion import ShellComplete

    from dope.cli import cli
    from dope.core.terminal.completion import VARIABLE

    monkeypatch.syspath_prepend(toy.site)

    def offered(*words):
        shell = ShellComplete(cli, {}, "dope", VARIABLE)
        return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]

    task = ["sweep", "toy.regression"]
    assert offered("sweep", "toy.") == ["toy.regression"]
    assert offered(*task, "model.") == ["model.units=", "model.dropout="]
    assert offered(*task, "optimizer=sgd,ad") == [
        f"optimizer=sgd,{name}" for name in ("adadelta", "adagrad", "adam")
    ]
    assert "trainer.mode=min,max" in offered(*task, "trainer.mode=min,")
    assert "optimizer.momentum=" in offered(*task, "optimizer=sgd,nag", "optimizer.")
    _, path = grid
    runs = ["--runs", str(path.parents[2])]
    assert offered("sweep", *runs, "--resume", "") == ["last", str(path)]
    assert offered("compare", *runs, path.name[:8]) == [path.name]


def test_help_has_an_example(inside):
    for command in ("sweep", "compare"):
        done = inside(command, "-h")
        assert done.exit_code == 0 and f"dope {command} " in done.stdout.split("Example:")[1]
