"""The plugin of examples/ in an environment of its own: installed, listed, tested and run.

Holds no tests of its parts; those are its own, in its folder, and are run from here.
"""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

ROOT = Path(__file__).resolve().parents[1]
ACME = ROOT / "examples" / "dope-acme"
Environment = runpy.run_path(str(Path(__file__).with_name("environment.py")))["Environment"]


class Place:
    """The example, copied and installed, and a folder to run it in."""

    def __init__(self, folder: Path) -> None:
        self.project, self.runs = folder / "dope-acme", folder / "work"
        unwanted = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ACME, self.project, ignore=unwanted)
        self.runs.mkdir()
        self.environment = Environment(folder / "venv")
        self.must("pip install -e .", self.project)

    def must(self, script: str, folder: Optional[Path] = None) -> str:
        """What a script prints that has to end well."""
        done = self.environment.sh(script, folder or self.runs)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def last(self) -> Path:
        """Folder of the last run."""
        return max(self.runs.glob("runs/*/*"), key=lambda path: path.name)


@pytest.fixture(scope="module")
def acme(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("acme"))


def test_its_own_tests_pass(acme):
    out = acme.must("pytest -q -p no:cacheprovider", acme.project)
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", out.splitlines()[-1])}
    assert counts["passed"] >= 55, out
    assert not counts.keys() & {"failed", "error", "errors", "skipped"}, out
    assert counts.get("xfailed", 0) <= 1, out  # acme.survival does not predict


def test_it_is_installed_there_and_not_here(acme):
    listed = json.loads(acme.must("dope list acme --kind all --json"))
    kinds = [row["kind"] for row in listed]
    assert sorted(set(kinds)) == ["callback", "dataset", "loss", "model", "task"]
    assert all(row["plugin"] == "acme" for row in listed)
    state = json.loads(acme.must("dope plugins acme --json"))
    assert [(row["distribution"], row["status"]) for row in state] == [("dope-acme", "ok")]
    code = "from dope.core.plugging.discovery import discover; print(discover().plugins)"
    here = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "timeseries" in here.stdout and "acme" not in here.stdout


def test_its_parts_go_with_those_of_others(acme):
    acme.must("dope run vision.cnn model=acme.resnet loss=acme.focal loss.gamma=1 --profile tiny")
    config = (acme.last() / "config.yaml").read_text()
    assert "acme.resnet" in config and "acme.focal" in config and "gamma: 1" in config
    result = json.loads((acme.last() / "result.json").read_text())
    assert result["status"] == "done" and 0 < result["metrics"]["loss"] < 3
    assert "class" in acme.must("dope predict last --output -").splitlines()[0]


def test_a_residual_network_with_focal_loss_learns_digits(acme):
    with_adam = "optimizer=adam optimizer.learning_rate=0.005 trainer.epochs=4"
    acme.must(f"dope run vision.cnn model=acme.resnet loss=acme.focal {with_adam}")
    metrics = json.loads((acme.last() / "result.json").read_text())["metrics"]
    assert metrics["test_accuracy"] > 0.8


@pytest.mark.parametrize(("file", "most"), [("survival.py", 40), ("gan.py", 80)])
def test_it_is_as_short_as_its_readme_says(file, most):
    text = (ACME / "src" / "dope_acme" / file).read_text()
    assert 20 < sum(bool(line.strip()) for line in text.splitlines()) <= most
    table = (ACME / "README.md").read_text()
    said = re.search(rf"`src/dope_acme/{file}` \|.*at most (\d+) lines", table)
    assert int(said[1]) == most
