"""Several workers: the same parameters as one process, and clear ends.

Holds tests with real processes on this machine; those on network namespaces need root and are run
by name (``-m slow``).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dope.core.distributing import hosts, roles, wire
from dope.core.errors import ConfigError

PROGRAM = "from dope.cli import main; main()"
DOPE = [sys.executable, "-c", PROGRAM]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TINY = ("vision.mlp", "--profile", "tiny")
MLP = (*TINY, "trainer.epochs=3")
DMLC = {
    "DMLC_ROLE": "worker",
    "DMLC_NUM_WORKER": "2",
    "DMLC_NUM_SERVER": "1",
    "DMLC_PS_ROOT_URI": "127.0.0.1",
    "DMLC_PS_ROOT_PORT": "9999",
}


def dope(*words: str, cwd: Path, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*DOPE, *words],
        cwd=cwd,
        env={**ENVIRONMENT, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == code, done.stderr
    return done


def trained(*words: str, cwd: Path, **more: str) -> Path:
    return cwd / dope(*words, "--quiet", cwd=cwd, **more).stdout.split()[-1]


def last(run: Path) -> dict[str, np.ndarray]:
    """The arrays of the newest checkpoint."""
    path = sorted(p for p in (run / "checkpoints").glob("*.npz") if p.stem != "best")[-1]
    with np.load(path) as found:
        return {key: found[key] for key in found}


def assert_close(left: Path, right: Path, tolerance: float) -> None:
    one, other = last(left), last(right)
    learned = [key for key in one if key.startswith(("parameter/", "optimizer/"))]
    assert learned
    for key in learned:
        scale = np.abs(one[key]).max() or 1.0
        assert np.abs(one[key] - other[key]).max() <= tolerance * scale, key


def left_over(tag: str) -> list[str]:
    """Processes that still run and have this text in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and tag.encode() in (path / "environ").read_bytes():
                found.append(path.name)
    return found


@given(st.binary(max_size=65), st.sampled_from([None, 0.5, 0.003]))
def test_bytes_survive_as_floats_that_are_added_to_zeros(payload, level):
    sent = wire.to_floats(payload, level)
    assert sent.dtype == np.float32 and len(sent) == wire.floats_of(len(payload), level)
    assert wire.to_bytes(sent + np.zeros_like(sent), len(payload), level) == payload


@pytest.mark.parametrize(
    "change, message",
    [
        ({"DMLC_ROLE": "boss"}, "DMLC_ROLE is 'boss'"),
        ({"DMLC_PS_ROOT_URI": ""}, "DMLC_PS_ROOT_URI is not"),
        ({"DMLC_NUM_WORKER": "two"}, "DMLC_NUM_WORKER is 'two'"),
        ({"DMLC_NUM_SERVER": "0"}, "DMLC_NUM_SERVER is '0'"),
        ({"DMLC_PS_ROOT_PORT": ""}, "DMLC_PS_ROOT_PORT is not set"),
        ({"DOPE_RANK": "2"}, "DOPE_RANK is 2 of 2 workers"),
    ],
)
def test_an_environment_that_is_wrong_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        roles.role({**DMLC, **change})


def test_an_environment_without_a_role_is_a_process_alone():
    assert roles.role({}) is None
    assert roles.role({**DMLC, "DOPE_RANK": "1"}).rank == 1


def test_machines_are_read_from_a_file(tmp_path):
    path = tmp_path / "machines"
    path.write_text("# two\nlocalhost workers=3\n\nb address=10.0.0.2 servers=0 # the other\n")
    found = hosts.read_hosts(path)
    assert found == [
        hosts.Host("localhost", "127.0.0.1", 3, None),
        hosts.Host("b", "10.0.0.2", None, 0),
    ]
    assert [each.name for each in hosts.placed(found, 4, "workers")] == ["localhost", "b"] * 2
    assert [each.name for each in hosts.placed(found, 2, "servers")] == ["localhost"] * 2
    with pytest.raises(ConfigError, match="the hosts take 3 workers, 4 are wanted"):
        hosts.placed(found[:1], 4, "workers")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "names no host"),
        ("localhost wrokers=2", "line 1: 'wrokers' is not understood"),
        ("localhost\nlocalhost", "line 2: localhost is named twice"),
        ("localhost workers=two", "line 1: workers=two is no number"),
        ("no-such-host.invalid", "line 1: the address of no-such-host.invalid is not known"),
        ("-oProxyCommand=x", "'-oProxyCommand=x' is not understood"),
    ],
)
def test_a_file_of_machines_that_is_wrong_is_refused(tmp_path, text, message):
    path = tmp_path / "machines"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        hosts.read_hosts(path)


@pytest.mark.parametrize(
    "workers, servers, batch, task",
    [
        (2, 1, 64, MLP),
        (3, 2, 43, MLP),  # neither 200 examples nor their last batch are divisible by 3
        (2, 1, 10, ("nlp.tree_lstm", "--profile", "tiny")),
        (2, 1, None, ("timeseries.issm", "trainer.epochs=2")),  # one series: a worker has none
    ],
)
def test_workers_end_as_one_process_with_all_their_batches(tmp_path, workers, servers, batch, task):
    small = [] if batch is None else [f"trainer.batch_size={batch}"]
    large = [] if batch is None else [f"trainer.batch_size={batch * workers}"]
    one = trained("run", *task, *large, cwd=tmp_path)
    many = trained(
        "launch", "-n", str(workers), "-s", str(servers), "run", *task, *small, cwd=tmp_path
    )
    assert_close(one, many, 1e-5)
    figures = [json.loads((run / "result.json").read_text())["metrics"] for run in (one, many)]
    for key, value in figures[0].items():
        if isinstance(value, float):
            assert figures[1][key] == pytest.approx(value, rel=1e-3, abs=1e-6), key
    logs = sorted(path.name for path in (many / "workers").iterdir())
    assert logs[0] == "scheduler.log" and len(logs) == 1 + workers + servers


def test_two_bits_of_a_gradient_train_too(tmp_path):
    run = trained("launch", "run", *MLP, "trainer.compression=2.0", cwd=tmp_path)
    plain = trained("launch", "run", *MLP, cwd=tmp_path)
    losses = [json.loads(row)["loss"] for row in (run / "metrics.jsonl").read_text().splitlines()]
    first = json.loads((plain / "metrics.jsonl").read_text().splitlines()[0])["loss"]
    assert losses[0] == pytest.approx(first, rel=0.2)  # metrics are not compressed
    assert losses[-1] < losses[0]
    assert not np.array_equal(*(last(each)["parameter/net.0.weight"] for each in (run, plain)))


def begun(cwd: Path, tag: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*DOPE, "launch", *words],
        cwd=cwd,
        env={**ENVIRONMENT, "RUN_TAG": tag},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def node(tag: str, role: str) -> int:
    """The process of a run that has this role."""
    for pid in left_over(tag):
        if f"DMLC_ROLE={role}".encode() in Path(f"/proc/{pid}/environ").read_bytes():
            return int(pid)
    raise AssertionError(f"no {role} of {tag}")


def when_saved(cwd: Path) -> Path:
    """The folder of the run, once it has a checkpoint."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for path in cwd.glob("runs/*/*/checkpoints/*.json"):
            return path.parents[1]
        time.sleep(0.05)
    raise AssertionError("no checkpoint within a minute")


@pytest.mark.parametrize("role", ["worker", "server", "scheduler"])
def test_a_process_that_is_killed_ends_all_and_the_run_can_go_on(tmp_path, role):
    whole = trained("launch", "run", *TINY, "trainer.epochs=100", cwd=tmp_path)
    tag = f"tag-{role}-{os.getpid()}"
    there = tmp_path / "broken"
    there.mkdir()
    process = begun(there, tag, "run", *TINY, "trainer.epochs=100", "--quiet")
    run = when_saved(there)
    os.kill(node(tag, role), signal.SIGKILL)
    began = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 1 and not left_over(tag)
    assert "was killed by signal 9 (SIGKILL); all others were ended" in said.splitlines()[-1]
    assert json.loads((run / "result.json").read_text())["status"] != "done"
    dope("launch", "resume", str(run), "--quiet", cwd=there)
    one, other = last(whole), last(run)
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key], err_msg=key)


def test_an_interrupt_saves_on_all_workers_and_the_run_can_go_on(tmp_path):
    tag = f"tag-interrupt-{os.getpid()}"
    process = begun(tmp_path, tag, "run", *TINY, "trainer.epochs=100000", "--quiet")
    run = when_saved(tmp_path)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "dope launch -n 2 -s 1 resume" in said.splitlines()[-1]
    assert not left_over(tag)
    assert json.loads((run / "result.json").read_text())["status"] == "interrupted"


def test_a_launcher_that_is_killed_leaves_nobody_behind(tmp_path):
    tag = f"tag-launcher-{os.getpid()}"
    process = begun(tmp_path, tag, "run", *TINY, "trainer.epochs=100000", "--quiet")
    when_saved(tmp_path)
    process.kill()
    process.wait()
    end = time.monotonic() + 30
    while left_over(tag) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left_over(tag)


def by_hand(cwd: Path, port: int, *programs: str, **more: str) -> list[tuple[int, str]]:
    """Scheduler, server and two workers without the launcher; exit codes and what they said."""
    given = {**ENVIRONMENT, **DMLC, "DMLC_PS_ROOT_PORT": str(port), **more}
    given["DMLC_NODE_HOST"] = "127.0.0.1"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, "run", *MLP, "--quiet"],
            cwd=cwd,
            env={**given, "DMLC_ROLE": role},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for role, program in zip(("scheduler", "server", "worker", "worker"), programs)
    ]
    said = [process.communicate(timeout=120)[0] for process in started]
    return [(process.returncode, text) for process, text in zip(started, said)]


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


def test_a_run_needs_no_launcher(tmp_path):
    found = by_hand(tmp_path, free_port(), *[PROGRAM] * 4)
    assert [code for code, _ in found] == [0, 0, 0, 0], found
    runs = list((tmp_path / "runs" / "vision.mlp").iterdir())
    assert len(runs) == 1  # one worker writes
    assert json.loads((runs[0] / "result.json").read_text())["workers"] == 2


def test_workers_with_other_versions_are_refused(tmp_path):
    other = f"import dope; dope.__version__ = '0.0'; {PROGRAM}"
    patience = {"PS_HEARTBEAT_TIMEOUT": "4"}
    found = by_hand(tmp_path, free_port(), PROGRAM, PROGRAM, PROGRAM, other, **patience)
    assert [code for code, _ in found] == [1, 1, 1, 1], found
    assert "has dope 0.0" in found[2][1] + found[3][1]


def test_a_scheduler_that_nobody_is_is_said(tmp_path):
    nobody = {"DMLC_PS_ROOT_PORT": str(free_port()), "DOPE_JOIN_TIMEOUT": "2"}
    done = dope("run", *MLP, cwd=tmp_path, code=1, **{**DMLC, **nobody})
    assert "cannot be reached (Connection refused)" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_others_that_do_not_come_are_not_waited_for_for_ever(tmp_path):
    more = {"DMLC_PS_ROOT_PORT": str(free_port()), "DOPE_JOIN_TIMEOUT": "6"}
    scheduler = {**DMLC, **more, "DMLC_ROLE": "scheduler"}
    alone = subprocess.Popen(
        [*DOPE, "run", *MLP],
        cwd=tmp_path,
        env={**ENVIRONMENT, **scheduler},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    done = dope("run", *MLP, cwd=tmp_path, code=1, **{**DMLC, **more})
    assert "6 s have passed and not all of 2 workers and 1 servers have started" in done.stderr
    assert "not all of 2 workers" in alone.communicate(timeout=60)[1] and alone.returncode == 1


def test_a_port_in_use_is_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = dope("launch", "--port", str(port), "run", *MLP, cwd=tmp_path, code=1)
    assert f"scheduler: the scheduler cannot listen on port {port}" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "words, message",
    [
        (["eval", "last"], "dope launch cannot do 'eval'"),
        (["-n", "0", "run", "vision.mlp"], "--workers 0 is out of range"),
        (["run", "vision.mpl"], "vision.mlp"),
        (["run", "vision.mlp", "trainer.epochs=many"], "trainer.epochs"),
        (["run", "vision.mlp", "--dry-run"], "cannot do --dry-run"),
        (["--hosts", "nowhere.txt", "run", "vision.mlp"], "cannot read nowhere.txt"),
    ],
)
def test_what_cannot_be_launched_is_refused_before_anything_starts(tmp_path, words, message):
    began = time.monotonic()
    done = dope("launch", *words, cwd=tmp_path, code=2)
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists() and time.monotonic() - began < 10


def test_cross_validation_is_refused(tmp_path):
    done = dope("launch", "run", *MLP, "trainer.folds=2", cwd=tmp_path, code=2)
    assert "trainer.folds=2 with 2 workers" in done.stderr


@pytest.fixture
def namespaces(tmp_path):
    """Three machines on one: network namespaces on a bridge; a file that names them."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and Debian's iproute2")
    own = os.urandom(3).hex()  # the kernel takes its time to forget names
    names, bridge = [f"dp{own}{letter}" for letter in "abc"], f"dpbr{own}"

    def ip(*words: str, check: bool = True) -> None:
        subprocess.run(["ip", *words], check=check, capture_output=True)

    path = tmp_path / "machines"
    takes = ("workers=1 servers=0", "workers=1 servers=0", "workers=0 servers=1")
    lines = [f"{n} address=10.98.0.{i} {t}" for i, (n, t) in enumerate(zip(names, takes), 1)]
    path.write_text("\n".join(lines))
    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("link", "set", bridge, "up")
        for i, name in enumerate(names, 1):
            ip("netns", "add", name)
            ip("link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"v{name}", "master", bridge, "up")
            ip("-n", name, "addr", "add", f"10.98.0.{i}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names, ["--hosts", str(path), "--rsh", "ip netns exec"]
    finally:
        for name in names:
            ip("netns", "del", name, check=False)
        ip("link", "del", bridge, check=False)


@pytest.mark.slow
def test_machines_of_their_own_end_as_one(tmp_path, namespaces):
    one = trained("run", *MLP, "trainer.batch_size=64", cwd=tmp_path)
    _, there = namespaces
    many = trained("launch", *there, "run", *MLP, "trainer.batch_size=32", cwd=tmp_path)
    assert_close(one, many, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [0, 1, 2])
def test_a_cable_that_is_pulled_is_noticed_within_a_minute(tmp_path, namespaces, machine):
    tag = f"tag-cable-{os.getpid()}"
    names, there = namespaces
    words = [*there, "run", *TINY, "trainer.epochs=1000000", "--quiet"]
    process = begun(tmp_path, tag, *words)
    when_saved(tmp_path)
    subprocess.run(["ip", "-n", names[machine], "link", "set", "eth0", "down"], check=True)
    began = time.monotonic()
    _, said = process.communicate(timeout=90)
    assert time.monotonic() - began < 60
    assert process.returncode == 1 and "was not heard of for 20 s" in said.splitlines()[-1]
    assert not left_over(tag)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["worker", "server", "scheduler"])
def test_kills_at_random_moments_never_hang(tmp_path, role):
    rng = np.random.default_rng(len(role))
    began = time.monotonic()
    whole = trained("launch", "run", *TINY, "trainer.epochs=40", cwd=tmp_path)
    span, ended = time.monotonic() - began, 0
    for i in range(10):
        tag = f"tag-{role}-{i}-{os.getpid()}"
        there = tmp_path / f"{role}-{i}"
        there.mkdir()
        process = begun(there, tag, "run", *TINY, "trainer.epochs=40", "--quiet")
        time.sleep(rng.uniform(0.5, span))
        with contextlib.suppress(AssertionError, ProcessLookupError):
            os.kill(node(tag, role), signal.SIGKILL)
        said = process.communicate(timeout=60)[1]
        assert not left_over(tag)
        found = list(there.glob("runs/*/*/config.yaml"))
        if not found:  # killed before there was a run
            assert process.returncode == 1, said
            continue
        run = found[0].parent
        result = run / "result.json"
        status = json.loads(result.read_text())["status"] if result.exists() else None
        if status != "done":
            ended += 1
            dope("launch", "resume", str(run), "--quiet", cwd=there)
        for key, value in last(whole).items():
            np.testing.assert_array_equal(value, last(run)[key], err_msg=key)
    assert ended
