"""The benchmarks: that all run, their arithmetic, their loops by hand, and how they fail.

Measures nothing: speeds are for a quiet machine.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
LEAST = {
    "bayes": ["gaussian", "local"],
    "classifiers": ["mlp-64"],
    "detection": ["train-128", "find-128"],
    "finetuning": ["train-64"],
    "foundations": ["linear-100"],
    "generative": ["gan-100"],
    "hybrid": ["forward-1", "train-64"],
    "language": ["char-gru", "word-lstm"],
    "recommenders": ["100k-8192"],
    "trees": ["training", "evaluation"],
    "vqa": ["concat-small", "bilinear-small"],
}


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def program(monkeypatch):
    """Loads a program, or what lies beside it, as if it had been started."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])  # a program adds its loops' folder
    before = set(sys.modules)

    def loaded(name):
        return load(f"benchmark_of_{name}", FOLDER / f"{name}.py")

    yield loaded
    for name in set(sys.modules) - before:
        if FOLDER in Path(getattr(sys.modules[name], "__file__", None) or "/").parents:
            del sys.modules[name]


@pytest.fixture
def bench(program):
    return program("classifiers")


@pytest.fixture
def turns(program):
    return importlib.import_module("turns")


def test_medians_and_ratios(bench):
    def rates(*values):
        return [{"rate": value} for value in values]

    answers = {
        "mlp-64": {
            "dope": rates(90.0, 300.0, 100.0),
            "book": rates(40.0, 39.0, 41.0),
            "torch_eager": rates(80.0, 70.0, 900.0),
            "torch_compiled": ["no compiler"],
        }
    }
    (row,) = bench.PROGRAM.rows(answers)
    assert row["median"] == {"dope": 100.0, "book": 40.0, "torch_eager": 80.0}
    assert row["ratio"] == {"dope/torch_eager": 1.25, "dope/book": 2.5}
    assert row["failed"] == {"torch_compiled": "no compiler"}
    last = bench.PROGRAM.page([row]).splitlines()[-1]
    assert last == "| mlp-64 | 40 |  |  | 100 | 80 |  | 1.25 |  | 2.50 |  |  |"


def test_images_are_idx_files(program, tmp_path):
    images_of = importlib.import_module("images")
    images_of.write_images(tmp_path, 200, test=30)
    raw = (tmp_path / "train-images-idx3-ubyte").read_bytes()
    assert raw[:16] == bytes.fromhex("00000803 000000c8 0000001c 0000001c")
    assert len(raw) == 16 + 200 * 784
    assert (tmp_path / "t10k-labels-idx1-ubyte").read_bytes()[:8].hex() == "000008010000001e"
    images, labels = images_of.read_images(tmp_path)
    assert images.shape == (200, 28, 28) and set(labels) == set(range(10))
    assert images[3, 2, 1] == raw[16 + 3 * 784 + 2 * 28 + 1]


def test_child_sees_no_settings_and_says_why_it_fails(turns, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MXNET_ENGINE_TYPE", "NaiveEngine")
    code = "import json, os; print('noise'); print(json.dumps({'seen': sorted(os.environ)}))"
    seen = turns.child([sys.executable, "-c", code], tmp_path)["seen"]
    assert "PATH" in seen and "TORCHINDUCTOR_CACHE_DIR" in seen
    assert not [key for key in seen if key.startswith(("OMP_", "MXNET_"))]
    with pytest.raises(turns.Failed, match=r"^ValueError: no such thing$"):
        turns.child([sys.executable, "-c", "raise ValueError('no such thing')"], tmp_path)
    with pytest.raises(turns.Failed, match="no line of JSON"):
        turns.child([sys.executable, "-c", "print('done')"], tmp_path)
    with pytest.raises(turns.Failed, match="No such file"):
        turns.child([str(tmp_path / "python")], tmp_path)


def test_missing_torch_is_said_and_the_rest_is_measured(bench, turns, capsys, monkeypatch):
    monkeypatch.delenv("DOPE_TORCH_PYTHON", raising=False)
    pythons, about = turns.interpreters(bench.PROGRAM.arguments([]).tools, None)
    assert list(pythons) == ["book", "bare", "bare_flat", "dope"]
    assert about["versions"]["mxnet"] == "1.9.1" and about["threads"] >= 1
    assert "PyTorch is left out: give --torch PYTHON" in capsys.readouterr().err
    turns.interpreters(["dope", "torch_eager"], "/nowhere/python")
    assert "/nowhere/python: No such file" in capsys.readouterr().err


def test_another_model_or_no_learning_is_refused(turns, tmp_path, monkeypatch):
    told = {"parameters": 269322, "loss": 1.0, "rate": 5.0}
    monkeypatch.setattr(turns, "child", lambda command, folder, threads: dict(told))
    given = ("python", "bare_loop.py", {"case": "mlp-64"}, tmp_path, 269322, False)
    assert turns.measured(*given)["rate"] == 5.0
    told["loss"] = float("nan")
    with pytest.raises(turns.Failed, match="does not learn"):
        turns.measured(*given)
    told.update(loss=1.0, parameters=7)
    with pytest.raises(turns.Failed, match="7 parameters, not 269322"):
        turns.measured(*given)


def test_tools_take_turns_back_and_forth_and_one_that_fails_is_left_out(turns):
    order = []

    def measure(case, tool):
        order.append((case, tool))
        if tool == "b":
            raise turns.Failed("no compiler")
        return {"rate": 1.0}

    plan = {"one": ["a", "b", "c"], "two": ["a"]}
    answers = turns.in_turn(plan, 2, measure, str)
    first = [("one", "a"), ("one", "b"), ("one", "c"), ("two", "a")]
    assert order == [*first, ("one", "c"), ("one", "a"), ("two", "a")]
    assert answers["one"] == {
        "a": [{"rate": 1.0}] * 2,
        "b": ["no compiler"],
        "c": [{"rate": 1.0}] * 2,
    }


def test_results_go_between_the_marks(program, tmp_path, monkeypatch, capsys):
    results, page = importlib.import_module("results"), tmp_path / "page.md"
    page.write_text("a\n<!-- x begin -->\nold\n<!-- x end -->\nb\n<!-- y begin -->\n")
    monkeypatch.setattr(results, "PAGE", page)
    monkeypatch.setattr(results, "HERE", tmp_path)
    results.write("x", {"rows": [1]}, "new")
    wanted = "a\n<!-- x begin -->\nnew\n<!-- x end -->\nb\n<!-- y begin -->\n"
    assert page.read_text() == wanted
    assert json.loads((tmp_path / "x.json").read_text()) == {"rows": [1]}
    for name in ("y", "z"):  # one mark, and none
        results.write(name, {}, "newer")
        assert f"has no <!-- {name} begin -->" in capsys.readouterr().err
    assert page.read_text() == wanted


def test_clock_warms_up_and_counts_what_it_measures(program, monkeypatch, capsys):
    clock = importlib.import_module("clock")
    now = iter(range(100))
    monkeypatch.setattr(clock.time, "perf_counter", lambda: next(now))
    done = []

    def steps():
        while True:
            done.append(7)
            yield 7

    found = clock.rate(steps(), 6, lambda: done.append("waited"))
    assert done == [7, "waited", *[7] * 5, "waited"]  # 2 seconds, then 6; each look takes one
    assert found == {"rate": 5.0, "done": 35, "seconds": 7}
    clock.answer(parameters=3, loss=0.5, **found)
    assert json.loads(capsys.readouterr().out)["rate"] == 5.0


def test_clock_and_images_need_no_library_that_is_measured(turns, tmp_path):
    code = "import clock, images, json, sys; print(json.dumps({'seen': sorted(sys.modules)}))"
    seen = turns.child([sys.executable, "-c", code], tmp_path)["seen"]
    assert "clock" in seen and not {"mxnet", "torch", "dope"} & set(seen)


@pytest.mark.parametrize("name", LEAST)
def test_every_program_runs(name):
    words = ["--small", "--no-write", "--rounds", "1", "--seconds", "0.01", "--tools", "dope"]
    words += ["--only", *LEAST[name]]
    command = [sys.executable, str(FOLDER / f"{name}.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr, done.stderr
    rows = done.stdout.splitlines()[2:]
    assert len(rows) == len(LEAST[name])
    for row in rows:
        cells = [cell.strip().replace(",", "") for cell in row.split("|")[2:-1]]
        assert max(float(cell) for cell in cells if cell) > 0, row


def test_series_run_too():
    pytest.importorskip("statsmodels")
    words = ["--series", "4", "--rounds", "1", "--no-write"]
    command = [sys.executable, str(FOLDER / "timeseries.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert len(rows) == 8 and all(row["ms"] > 0 and np.isfinite(row["median"]) for row in rows)


@pytest.mark.parametrize("case", ["mlp-64", "lenet", "vgg"])
def test_flat_loop_learns_what_the_plain_one_does(bench, tmp_path, case):
    loops = load("benchmark_bare_loop", FOLDER / "classifiers" / "bare_loop.py")
    nd, known = loops.nd, bench.CASES[case]
    bench.write_images(tmp_path, 192)
    plain, flat = loops.Bare(known, tmp_path), loops.BareFlat(known, tmp_path)
    pairs = list(zip(plain.net.collect_params().values(), flat.net.collect_params().values()))
    for a, b in pairs:
        b.data()[:] = a.data()
    before = flat.weights.asnumpy()
    assert before.size == known.parameters == loops.gluon_models.count(flat.net)
    for start in range(0, 192, known.batch if known.batch < 192 else 64):
        for seed, loop in ((start, plain), (start, flat)):
            loops.mx.random.seed(seed)  # the same dropout
            loop.step(loop.images[start : start + 64], loop.labels[start : start + 64])
    nd.waitall()
    assert np.abs(flat.weights.asnumpy() - before).max() > 1e-3
    for a, b in pairs:
        np.testing.assert_allclose(a.data().asnumpy(), b.data().asnumpy(), rtol=1e-4, atol=1e-5)


def test_interrupt_ends_the_child_and_writes_nothing(tmp_path):
    file, words = FOLDER / "classifiers.py", ["--tools", "book", "--only", "mlp-64"]
    command = [sys.executable, str(file), *words, "--seconds", "600"]
    results = file.with_suffix(".json")
    before = results.read_bytes() if results.exists() else None
    parent = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    if not children.exists():
        parent.kill()
        pytest.skip("this system does not list a process's children")
    began, loop = time.monotonic(), None
    while loop is None and time.monotonic() - began < 60:
        time.sleep(0.05)
        for pid in children.read_text().split():
            if b"book_loop.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                loop = int(pid)
    assert loop, "the child never started"
    os.kill(parent.pid, signal.SIGINT)
    _, err = parent.communicate(timeout=30)
    assert parent.returncode == 130 and err.endswith("interrupted: nothing was written\n")
    with pytest.raises(ProcessLookupError):
        os.kill(loop, 0)
    assert (results.read_bytes() if results.exists() else None) == before


@pytest.mark.parametrize("name", LEAST)
def test_results_that_stand_there_are_whole(program, name):
    page = importlib.import_module("results").PAGE.read_text(encoding="utf-8")
    shown = page.partition(f"<!-- {name} begin -->\n")[2].partition(f"\n<!-- {name} end -->")[0]
    results = FOLDER / f"{name}.json"
    if not results.exists():
        assert shown == "Not measured yet."
        return
    rows, known = json.loads(results.read_text())["rows"], program(name).PROGRAM
    assert [row["case"] for row in rows] == list(known.cases)
    assert known.page(rows) == shown


def test_series_that_stand_there_are_shown(program):
    pytest.importorskip("statsmodels")
    series = program("timeseries")
    rows = json.loads((FOLDER / "timeseries.json").read_text())["rows"]
    assert series.page(rows) in series.results.PAGE.read_text(encoding="utf-8")
