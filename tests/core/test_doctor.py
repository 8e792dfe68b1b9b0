"""The checks of ``dope doctor``: each fault is made, and its line and remedy are looked at.

Faults of MXNet are made in the process that tries it, by a module ``mxnet`` that is not it.
"""

from __future__ import annotations

import json

import pytest

from dope.core import doctor
from dope.core.doctor import Check, examine

TODAY = (3, 11, 7)


def by_name(checks):
    return {check.name: check for check in checks}


@pytest.fixture
def no_probe(monkeypatch):
    """Everything but MXNet: the probe answers at once that it is well."""
    said = {
        "code": 0,
        "errors": [],
        "mxnet": "1.9.1 (mxnet)",
        "threads": "2",
        "engine": "NaiveEngine",
        "cores": 2,
        "contexts": ["cpu(0)"],
        "trying": "cpu(0)",
        "steps": {"cpu(0)": [3.0, 0.5]},
        "done": True,
    }
    monkeypatch.setattr(doctor, "_probed", lambda seconds: said)
    return said


def fake_mxnet(tmp_path, monkeypatch, code):
    """Another module ``mxnet``, found before the real one by processes that are started."""
    (tmp_path / "mxnet.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_this_machine_is_well_and_the_command_says_so(inside, tmp_path):
    result = inside("doctor", "--runs", tmp_path / "runs", "--json")
    found = {each["name"]: each for each in json.loads(result.stdout)}
    assert [each["name"] for each in found.values() if each["state"] == "FAIL"] == []
    assert result.exit_code == 0 and not (tmp_path / "runs").exists()
    names = ["Python", "NumPy", "MXNet", "threads", "contexts", "training step", "plugins"]
    assert list(found) == [*names, "runs folder", "disk"]
    assert found["MXNet"]["text"].startswith("1.9.1")
    assert "cpu(0)" in found["contexts"]["text"]
    assert list(tmp_path.iterdir()) == []


def test_the_command_fails_with_a_remedy_when_a_check_fails(inside, no_probe, tmp_path):
    file = tmp_path / "runs"
    file.write_text("")
    result = inside("doctor", "--runs", file)
    lines = result.stdout.splitlines()
    failed = next(i for i, line in enumerate(lines) if line.startswith("FAIL"))
    assert result.exit_code == 1 and "runs folder" in lines[failed]
    assert "-> Choose another place with --runs DIR." in " ".join(lines[failed:])


@pytest.mark.parametrize("version", [(3, 8, 1), (3, 13, 0)])
def test_python_that_mxnet_does_not_know(no_probe, version):
    check = by_name(examine(version=version))["Python"]
    assert check.state == "FAIL" and "3.9 to 3.12" in check.remedy


def test_python_without_distutils(no_probe, monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    check = by_name(examine(version=(3, 12, 1)))["Python"]
    assert check.state == "FAIL" and "pip install setuptools" in check.remedy


@pytest.mark.parametrize(
    ("version", "state"),
    [("1.22.4", "FAIL"), ("1.23.0", "ok"), ("1.26.4", "ok"), ("2.0.1", "FAIL")],
)
def test_numpy_versions(no_probe, monkeypatch, version, state):
    monkeypatch.setattr(doctor.metadata, "version", lambda name: version)
    check = by_name(examine(version=TODAY))["NumPy"]
    assert check.state == state and (state == "ok" or "pip install 'numpy" in check.remedy)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n", "import: died of signal 4"),
        ("import os\nos._exit(7)\n", "import: ended too early"),
        ("raise OSError('libfoo.so.11: cannot open shared object file')\n", "libfoo.so.11"),
        ("raise ImportError('cannot import name bool')\n", "cannot import name bool"),
        ("raise RuntimeError('odd')\n", "RuntimeError: odd"),
    ],
    ids=["crash", "exit", "library", "import", "other"],
)
def test_mxnet_that_does_not_load(tmp_path, monkeypatch, code, words):
    fake_mxnet(tmp_path, monkeypatch, code)
    checks = by_name(examine(tmp_path))
    assert checks["MXNet"].state == "FAIL" and words in checks["MXNet"].text
    assert checks["MXNet"].remedy and "training step" not in checks


def test_mxnet_that_hangs(tmp_path, monkeypatch):
    fake_mxnet(tmp_path, monkeypatch, "import time\ntime.sleep(100)\n")
    check = by_name(examine(tmp_path, seconds=2))["MXNet"]
    assert check.state == "FAIL" and check.text == "import: no answer within 2 s"


@pytest.mark.parametrize("code", [None, -11])
def test_a_device_that_hangs_or_crashes_is_named(no_probe, code):
    said = {**no_probe, "contexts": ["cpu(0)", "gpu(0)"], "trying": "gpu(0)", "code": code}
    del said["done"]
    step = doctor._mxnet(said, 60)[-1]
    assert step.name == "training step" and step.state == "FAIL"
    assert step.text.startswith("gpu(0): ") and "--contexts 'cpu(0)'" in step.remedy


def test_a_step_that_does_not_learn(no_probe):
    no_probe["steps"] = {"cpu(0)": [3.0, float("nan")]}
    check = by_name(examine(version=TODAY))["training step"]
    assert check.state == "FAIL" and "no fall" in check.text


def test_a_cuda_build_without_a_gpu(no_probe):
    no_probe["mxnet"] = "1.9.1 (mxnet-cu112)"
    check = by_name(examine(version=TODAY))["contexts"]
    assert check.state == "warn" and "nvidia-smi" in check.remedy


@pytest.mark.parametrize("threads", ["8", "0", "all"])
def test_threads_that_the_user_has_set_badly(no_probe, threads):
    no_probe["threads"] = threads
    check = by_name(examine(version=TODAY))["threads"]
    assert check.state == "warn" and "set it to 2" in check.remedy


@pytest.mark.parametrize(("free", "state"), [(1e7, "FAIL"), (5e8, "warn"), (5e9, "ok")])
def test_room_on_the_disk(no_probe, monkeypatch, tmp_path, free, state):
    class Usage:
        pass

    Usage.free = free
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: Usage)
    check = by_name(examine(tmp_path / "not" / "yet"))["disk"]
    assert check.state == state and bool(check.remedy) == (state != "ok")


def test_a_broken_plugin_is_a_warning(no_probe, toy, tmp_path, monkeypatch):
    toy.install(tmp_path, "bad", "1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert by_name(examine(tmp_path))["plugins"] == Check(
        "plugins", "warn", "broken: bad", "See: dope plugins"
    )
