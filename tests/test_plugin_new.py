"""That `dope plugin new` writes a project which is green at once, and never over anything.

Holds no test of the checks that the project runs; those are in test_testing and test_plugin_check.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner

from dope.cli import cli
from dope.core.errors import DopeError
from dope.core.scaffold import new_project

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(params=[False, True], ids=["full", "bare"])
def project(request, tmp_path):
    return new_project("acme-churn", bare=request.param, folder=tmp_path / "here")


def written(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_every_name_is_filled_in(project):
    files = written(project.path)
    assert sorted(files) == sorted(project.files)
    assert not [name for name, text in files.items() if "$" in text]
    assert 'churn = "acme_churn.plugin"' in files["pyproject.toml"]
    assert 'packages = ["src/acme_churn"]' in files["pyproject.toml"]


def test_the_test_file_has_three_lines(project):
    assert (project.path / "tests/test_contract.py").read_text() == (
        'from dope.core.testing import contract_tests\n\ntest_contract = contract_tests("churn")\n'
    )


def test_every_registered_name_is_there(project):
    folder = project.path / "src/acme_churn"
    targets = re.findall(r'"acme_churn\.(\w+):(\w+)"', (folder / "plugin.py").read_text())
    assert len(targets) in (1, 5)
    for module, name in targets:
        tree = ast.parse((folder / f"{module}.py").read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def test_the_task_is_forty_lines_at_most(project):
    tree = ast.parse((project.path / "src/acme_churn/classify.py").read_text())
    (task,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    doc = task.body[0]
    lines = set(range(task.lineno, task.end_lineno + 1))
    lines -= set(range(doc.lineno, doc.end_lineno + 1))
    assert len(lines) <= 40


def test_what_is_written_is_tidy(project):
    options = ["--isolated", "--line-length", "100"]
    for command in (
        ["check", *options, "--select", "E,F,W,I,UP,RET,SIM"],
        ["format", *options, "--check"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."],
            cwd=project.path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "name, plugin, package",
    [
        ("acme-churn", "churn", "acme_churn"),
        ("churn", "churn", "churn"),
        ("dope-acme", "acme", "dope_acme"),
        ("my.time-series2", "time_series2", "my_time_series2"),
    ],
)
def test_names_come_from_the_name_of_the_project(tmp_path, name, plugin, package):
    made = new_project(name, folder=tmp_path / "x")
    assert (made.plugin, made.package, made.task) == (plugin, package, f"{plugin}.classify")


def test_names_can_be_chosen(tmp_path):
    made = new_project("acme-churn", package="churners", plugin="acme", folder=tmp_path / "x")
    files = written(tmp_path / "x")
    assert 'acme = "churners.plugin"' in files["pyproject.toml"]
    assert '"acme.net", "churners.network:Net"' in files["src/churners/plugin.py"]
    assert 'contract_tests("acme")' in files["tests/test_contract.py"]
    assert made.task == "acme.classify"


@pytest.mark.parametrize(
    "name, options, says",
    [
        ("Acme-Churn", {}, "project name 'Acme-Churn' cannot be. Use lower-case words"),
        ("../churn", {}, "project name '../churn' cannot be"),
        ("acme-churn-", {}, "project name 'acme-churn-' cannot be"),
        ("acme-churn", {"package": "a-b"}, "package name 'a-b' cannot be imported. Choose"),
        ("class", {}, "package name 'class' cannot be imported. Choose another with --package"),
        ("acme-x", {"package": "json"}, "there is a module 'json' already. Choose another"),
        ("acme-x", {"plugin": "My"}, "plugin name 'My' cannot be. Choose another with --plugin"),
        ("acme-1x", {}, "plugin name '1x' cannot be. Choose another with --plugin"),
        ("acme-all", {}, "the plugin name 'all' means every plugin. Choose another"),
        ("acme-vision", {}, "'vision' is taken by one that is installed. Choose another"),
    ],
)
def test_names_that_cannot_be_are_refused(tmp_path, name, options, says):
    with pytest.raises(DopeError) as raised:
        new_project(name, folder=tmp_path / "x", taken=["vision"], **options)
    assert says in str(raised.value) and raised.value.exit_code == 2
    assert not (tmp_path / "x").exists()


def test_nothing_is_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme-churn").mkdir()
    (tmp_path / "acme-churn" / "README.md").write_text("mine")
    done = CliRunner().invoke(cli, ["plugin", "new", "acme-churn"])
    assert done.exit_code == 1
    assert "error: acme-churn is there already and not empty. Choose another" in done.output
    assert written(tmp_path) == {"acme-churn/README.md": "mine"}
    (tmp_path / "file").write_text("mine")
    done = CliRunner().invoke(cli, ["plugin", "new", "acme-churn", "--dir", "file"])
    assert done.exit_code == 1 and (tmp_path / "file").read_text() == "mine"


def test_the_command_says_what_to_do_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").mkdir()  # empty, so it will do
    done = CliRunner().invoke(cli, ["plugin", "new", "acme-churn", "--bare", "--dir", "a b"])
    assert done.exit_code == 0, done.output
    assert done.output.endswith(
        "Now:\n\n  cd 'a b'\n  pip install -e .\n  pytest\n  dope run churn.classify\n"
    )
    assert "a b/src/acme_churn/classify.py\n" in done.output
    done = CliRunner().invoke(cli, ["plugin", "new", "acme-vision"])
    assert done.exit_code == 2 and "'vision' is taken" in done.output


class Machine:
    """A new environment on top of this one: what is installed here is seen, without a network."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.bin = folder / "bin"
        self.env = {key: v for key, v in os.environ.items() if key != "PYTHONPATH"}
        self.env |= {"PATH": f"{self.bin}{os.pathsep}{self.env['PATH']}", "COLUMNS": "100"}
        names = {"purelib", "platlib"}
        here = sorted({sysconfig.get_path(name) for name in names})
        places = self("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
        lines = "".join(f"import site; site.addsitedir({each!r})\n" for each in here)
        Path(places.strip(), "here.pth").write_text(lines)
        self.install(ROOT)

    def __call__(self, program: str, *arguments: object, cwd: Path = ROOT) -> str:
        done = subprocess.run(
            [str(self.bin / program), *map(str, arguments)],
            cwd=cwd,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{program} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def install(self, folder: Path) -> None:
        offline = ["--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
        self("python", "-m", "pip", "install", *offline, "--editable", folder)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine(tmp_path_factory.mktemp("machine") / "venv")


def test_from_an_empty_folder_to_a_trained_task(machine, tmp_path):
    machine("dope", "plugin", "new", "acme-churn", cwd=tmp_path)
    here = tmp_path / "acme-churn"
    machine.install(here)
    tested = machine("python", "-m", "pytest", "-q", cwd=here)
    assert "churn: 8 passed\nchurn.classify: 18 passed\n26 checks: 26 passed\n" in tested
    assert "26 passed" in tested.splitlines()[-1] and "warning" not in tested
    for line in re.findall(r"^dope .*", (here / "README.md").read_text(), flags=re.M):
        words = shlex.split(line)[1:]
        if words[:2] == ["plugin", "check"]:
            continue  # it is what pytest has done
        said = machine("dope", *words, *(["--dry-run"] if words[2:] else []), cwd=here)
        if words == ["run", "churn.classify"]:
            accuracy = float(re.search(r"^valid_accuracy +(\S+)", said, flags=re.M)[1])
            assert accuracy > 0.93  # two moons with this noise: 0.97 can be had
    rows = machine("dope", "run", "churn.classify", "trainer.epochs=1", "--json", cwd=here)
    assert '"status": "done"' in rows


def test_a_bare_project_is_green_too(machine, tmp_path):
    machine("dope", "plugin", "new", "acme-ring", "--bare", cwd=tmp_path)
    here = tmp_path / "acme-ring"
    machine.install(here)
    seconds_each = "not resume and not reload and not usage"
    tested = machine("python", "-m", "pytest", "-q", "-k", seconds_each, cwd=here)
    assert re.search(r"\n2[0-9] passed", tested), tested
    said = machine("dope", "run", "ring.classify", cwd=here)
    assert float(re.search(r"^valid_accuracy +(\S+)", said, flags=re.M)[1]) > 0.93
