"""Tests of the board: which runs it lists, what of them, and what its server answers.

Holds nothing that needs a browser: that is in test_reporting_browser.py.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import threading
import time

import pytest

import dope
from dope.core.errors import RunError
from dope.core.reporting import board, reading
from dope.core.reporting.serving import Server
from dope.core.rundir import RunDirectory

TASKS = ("vision.mlp", "vision.cnn", "timeseries.issm", "nlp.char_lm")


def make_run(root, number: int, rows: int = 20, task: str = "") -> RunDirectory:
    """A run that is done, by the run folder's own writer."""
    task = task or TASKS[number % len(TASKS)]
    run = RunDirectory.at(root / task / f"20260101-{number:06d}-{number:04x}")
    sections = {
        "task": {"name": task},
        "model": {"name": "vision.mlp", "dropout": number / 1000, "hidden": [number, 256]},
        "optimizer": {"name": "adam", "learning_rate": 10.0 ** -(1 + number % 4)},
        "trainer": {"epochs": rows, **{f"option_{i}": i for i in range(20)}},
    }
    run.write_text("config.yaml", json.dumps(sections))  # JSON is YAML
    lines = []
    for epoch in range(1, rows + 1):
        loss = (1 + number % 7) / epoch
        row = {"epoch": epoch, "step": 9 * epoch, "loss": loss, "accuracy": 1 - 1 / (epoch + 1)}
        lines.append(json.dumps({**row, "valid_loss": loss + 0.1, "valid_accuracy": 1 - loss / 9}))
    (run.path / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    metrics = {"loss": loss, "valid_loss": loss + 0.1, "valid_accuracy": number / 1000}
    result = {"status": "done", "seconds": number * 1.5, "settings": {"seed": number}}
    run.write_text("result.json", json.dumps({**result, "metrics": metrics, "epochs": rows}))
    return run


def held(path) -> dict:
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


def test_the_board_holds_every_run_and_says_which_is_damaged(tmp_path):
    root = tmp_path / "runs"
    for number in range(4):
        make_run(root, number)
    (root / "vision.mlp" / "20260101-999999-dead").mkdir()
    half = make_run(root, 9, task="vision.cnn")
    (half.path / "result.json").write_text('{"status": "do', encoding="utf-8")
    make_run(tmp_path, 10, task="elsewhere")
    (root / "vision.cnn" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    member = RunDirectory.at(root / "sweeps" / "vision.mlp" / "20260101-000000-aaaa/members/0001")
    member.write_text("config.yaml", "task: {name: vision.mlp}\n")
    member.write_json("result.json", {"status": "done", "metrics": {}})
    runs = {run["name"]: run for run in held(dope.board(root))["runs"]}
    assert len(runs) == 7  # the link leads elsewhere
    assert runs["20260101-000000-aaaa/0001"]["status"] == "done"
    assert runs["20260101-999999-dead"]["problems"] == [
        "config.yaml is missing",
        "result.json is missing",
    ]
    assert [run["status"] for run in runs.values()].count("damaged") == 2
    whole = runs["20260101-000003-0003"]
    assert whole["metrics"]["valid_accuracy"] == 0.003
    assert whole["config"]["model.dropout"] == "0.003" and whole["seed"] == "3"
    assert whole["curves"]["loss/valid"][0] == list(range(1, 21))
    assert whole["curves"]["loss/valid"][1][-1] == pytest.approx(4 / 20 + 0.1)


def test_the_board_leads_to_reports_that_are_there(tmp_path):
    root = tmp_path / "a root"
    run = make_run(root, 1, task="odd#task?")
    (run.path / "report.html").write_text("x", encoding="utf-8")
    [found] = held(dope.board(root))["runs"]
    assert found["href"] == "odd%23task%3F/20260101-000001-0001/report.html"
    assert (root / "board.html").is_file()


def test_which_figures_are_better_when_larger(tmp_path):
    make_run(tmp_path, 1)
    better = held(dope.board(tmp_path))["better"]
    assert better == {"loss": False, "valid_loss": False, "valid_accuracy": True}


def test_no_folder_is_an_error_and_an_empty_one_a_board(tmp_path):
    with pytest.raises(RunError, match="there is no folder"):
        dope.board(tmp_path / "none")
    assert held(dope.board(tmp_path))["runs"] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_run_that_may_not_be_read_is_listed(tmp_path):
    run = make_run(tmp_path, 1)
    (run.path / "config.yaml").chmod(0)
    [found] = held(dope.board(tmp_path))["runs"]
    assert found["status"] == "damaged"


def test_a_board_of_200_runs_is_built_in_time(tmp_path):
    for number in range(200):
        make_run(tmp_path, number, rows=100)
    began = time.process_time()
    path = dope.board(tmp_path)
    assert time.process_time() - began < 10
    assert len(held(path)["runs"]) == 200
    assert path.stat().st_size < 6_000_000


@pytest.fixture
def server(tmp_path):
    """A server of three runs, in a thread; and where a file lies that it must not give away."""
    root = tmp_path / "runs"
    for number in range(3):
        make_run(root, number, task="vision.mlp")
    (tmp_path / "secret").write_text("a secret", encoding="utf-8")
    (root / "vision.mlp" / "out").symlink_to(tmp_path, target_is_directory=True)
    with Server(root, 0) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield made
        made.shutdown()


def ask(server, path: str, method: str = "GET", **headers: str):
    link = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    link.request(method, path, headers=headers)
    answer = link.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_the_server_is_this_machines_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "/")[0] == 200
    for host in ("evil.example", f"evil.example:{server.server_port}", "", "127.0.0.1"):
        status, _, body = ask(server, "/data.json", Host=host)
        assert status == 403 and b"20260101" not in body, host
    assert ask(server, "/", Host=f"localhost:{server.server_port}")[0] == 200


def test_the_server_only_reads(server):
    before = sorted(server.runs.rglob("*"))
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask(server, "/", method)[0] == 501, method
    status, headers, body = ask(server, "/", "HEAD")
    assert status == 200 and body == b"" and int(headers["Content-Length"]) > 100_000
    ask(server, "/report/vision.mlp/20260101-000001-0001")
    assert sorted(server.runs.rglob("*")) == before


@pytest.mark.parametrize(
    "path",
    [
        "/secret",
        "/../secret",
        "/report/../secret",
        "/report/vision.mlp/../../../secret",
        "/report/vision.mlp/out",
        "/report/%2e%2e/%2e%2e/secret",
        "/report//etc/passwd",
        "/report/vision.mlp/20260101-000001-0001/config.yaml",
        "/report/vision.mlp",
        "/report/",
        "/report/\x7f%00",
        "/vision.mlp/",
        "/data.json/",
    ],
)
def test_the_server_gives_no_files_and_no_listings(server, path):
    status, headers, body = ask(server, path.replace("\x7f", "%7f"))
    assert status == 404 and body == b"There is nothing here.\n", path
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_server_tells_what_is_new(server):
    status, headers, body = ask(server, "/data.json")
    assert status == 200 and len(json.loads(body)["runs"]) == 3
    again = ask(server, "/data.json", **{"If-None-Match": headers["ETag"]})
    assert again[0] == 304 and again[2] == b""
    make_run(server.runs, 7)
    status, _, body = ask(server, "/data.json", **{"If-None-Match": headers["ETag"]})
    names = [run["name"] for run in json.loads(body)["runs"]]
    assert status == 200 and "20260101-000007-0007" in names
    report = ask(server, "/report/vision.mlp/20260101-000001-0001")
    assert report[0] == 200 and b"20260101-000001-0001" in report[2]


def test_what_the_board_holds_of_a_run_is_plain_and_short(tmp_path):
    run = make_run(tmp_path, 1)
    run.write_text("config.yaml", json.dumps({"task": {"name": "x"}, "a": {"b": "y" * 9999}}))
    found = board.row(reading.read(run.path), None)
    assert len(found["config"]["a.b"]) == board.VALUE
    json.dumps(found, allow_nan=False)
