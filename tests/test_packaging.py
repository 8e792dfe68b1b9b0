"""The package as it is installed: wheel, sdist, links, names, layers, and how .venv is made.

Needs no network; holds no test of what dope does.
"""

from __future__ import annotations

import graphlib
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import grimp
import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import dope

ROOT = Path(__file__).resolve().parents[1]
BARE = ("core", "plugins", "cli")
HEAVY = ("mxnet", "numpy", "matplotlib")
# These may import the heavy ones at their top; all else in core, and what registers, may not.
MAY_BE_HEAVY = {
    *("backend", "data", "engine", "folds", "metrics", "pictures", "plots", "task", "trainer"),
    *("exporting.converters", "exporting.elsewhere", "exporting.onnx_format"),
    *("exporting.tracing", "exporting.writing"),
    *("distributing.serving", "distributing.store", "distributing.team", "distributing.wire"),
    *("comparing.plots", "computing.bound", "computing.graphs", "computing.networks"),
    *("optimizing.inplace", "optimizing.places", "optimizing.quasi_newton", "optimizing.updates"),
    *("training.checkpoint", "training.fitting", "training.misfits"),
}
LIGHT_IN_THEIR_OWN_WAY = ("scaffold", "sweeping", "testing")  # packages with tests of their own
CORE = [
    ".".join(path.relative_to(ROOT / "core").with_suffix("").parts)
    for path in sorted((ROOT / "core").rglob("[a-z]*.py"))
]
LIGHT = [
    "dope",
    "dope.cli",
    *(
        f"dope.core.{name}"
        for name in CORE
        if name not in MAY_BE_HEAVY and name.split(".")[0] not in LIGHT_IN_THEIR_OWN_WAY
    ),
    *(f"dope.plugins.{path.parent.name}.plugin" for path in ROOT.glob("plugins/*/plugin.py")),
]


def package_files() -> set[str]:
    """Paths under dope/ that an installed dope must hold, from the work tree."""
    found = {"dope/__init__.py", "dope/py.typed", "dope/cli.py"}
    for top in ("core", "plugins"):
        for path in (ROOT / top).rglob("*"):
            below = path.relative_to(ROOT)
            hidden = any(part.startswith((".", "__pycache__")) for part in below.parts)
            if path.is_file() and not hidden:
                found.add(f"dope/{below.as_posix()}")
    return found


def run_python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in an empty folder with nothing on PYTHONPATH."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from the work tree."""
    return build(WheelBuilder(str(ROOT)), "standard", tmp_path_factory.mktemp("wheel"))


def build(builder, version: str, folder: Path) -> Path:
    return Path(next(builder.build(directory=str(folder), versions=[version])))


def contents(path: Path) -> dict[str, bytes]:
    """What a wheel holds, without the list of its own hashes."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith(("/", "/RECORD"))]
        return {name: archive.read(name) for name in names}


def test_wheel_holds_the_whole_package_and_nothing_else(wheel):
    files = {name for name in contents(wheel) if ".dist-info/" not in name}
    assert files == package_files()
    assert any(re.fullmatch(r"dope/plugins/\w+/data/\w+\.csv", name) for name in files)


def test_wheel_metadata(wheel):
    held = contents(wheel)
    info = next(name.split("/")[0] for name in held if ".dist-info/" in name)
    metadata = Parser().parsestr(held[f"{info}/METADATA"].decode())
    assert metadata["Version"] == dope.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert b"Apache License" in held[f"{info}/licenses/LICENSE"]
    assert set(metadata["Requires-Python"].split(",")) == {">=3.9", "<3.13"}
    assert {"cpu", "cu112", "nlp", "dev"} <= set(metadata.get_all("Provides-Extra"))
    assert "mxnet==1.9.1; extra == 'cpu'" in metadata.get_all("Requires-Dist")
    entries = held[f"{info}/entry_points.txt"].decode()
    assert "dope = dope.cli:main" in entries
    for name, module in re.findall(r"^(\w+) = (dope\.plugins\.\S+)$", entries, re.MULTILINE):
        assert module == f"dope.plugins.{name}.plugin"
    assert "[dope.plugins]\n" in entries


def test_wheel_imports_only_as_dope(wheel, tmp_path):
    # -S leaves site-packages out, and with them the editable install: only the wheel is there.
    code = (
        "import importlib.util as u, dope, dope.core.errors, dope.plugins\n"
        f"print(dope.__file__, [n for n in {BARE} if u.find_spec(n)])"
    )
    done = run_python(
        "-S", "-c", f"import sys; sys.path.append({str(wheel)!r})\n{code}", cwd=tmp_path
    )
    assert done.stdout.split(maxsplit=1) == [f"{wheel}/dope/__init__.py", "[]\n"], done.stderr


def test_wheel_from_sdist_is_the_same(wheel, tmp_path):
    # Without the sdist's own only-include, the wheel built from it lacks core and plugins.
    sdist = build(SdistBuilder(str(ROOT)), "standard", tmp_path)
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from 3.9.17 on
        archive.extractall(tmp_path)
    assert {"LICENSE", "README.md", "PKG-INFO", "tests/test_packaging.py"} <= names
    unpacked = tmp_path / sdist.name[: -len(".tar.gz")]
    again = build(WheelBuilder(str(unpacked)), "standard", tmp_path / "again")
    assert contents(again) == contents(wheel)


def test_editable_install_goes_through_the_links(tmp_path):
    editable = contents(build(WheelBuilder(str(ROOT)), "editable", tmp_path))
    paths = [text.decode().splitlines() for name, text in editable.items() if name.endswith(".pth")]
    assert paths == [[str(ROOT / ".dev")]]


def test_links_lead_to_the_real_files():
    links = {path.name: path for path in (ROOT / ".dev" / "dope").iterdir()}
    links.pop("__pycache__", None)
    assert set(links) == {"__init__.py", "py.typed", "cli.py", "core", "plugins"}
    for name, link in links.items():
        assert link.is_symlink()
        assert not link.readlink().is_absolute()
        assert link.resolve(strict=True) == ROOT / name


def test_no_bare_name_can_be_imported(tmp_path):
    for name in BARE:
        done = run_python("-c", f"import {name}", cwd=tmp_path)
        assert f"No module named '{name}'" in done.stderr
    assert (
        run_python("-c", "import dope.core, dope.plugins, dope.cli", cwd=tmp_path).returncode == 0
    )


def test_every_folder_of_code_is_a_package_of_dope():
    folders = {path.parent for top in BARE[:2] for path in (ROOT / top).rglob("*.py")}
    assert len(folders) >= 3
    for folder in folders:
        name = ".".join(("dope", *folder.relative_to(ROOT).parts))
        spec = importlib.util.find_spec(name)
        assert spec is not None, name
        assert spec.origin is not None, f"{name} has no __init__.py"
        assert Path(spec.origin).resolve() == folder / "__init__.py"


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("import core.errors", True),
        ("from core import errors", True),
        ("from plugins.timeseries import series", True),
        ("from cli import main", True),
        ("from dope.core import errors", False),
        ("import dope.plugins.timeseries", False),
    ],
)
def test_ruff_refuses_bare_names(line, refused):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--select=TID251",
            "--stdin-filename=core/x.py",
            "-",
        ],
        input=f"{line}\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ("TID251" in done.stdout, done.returncode) == (refused, int(refused)), done.stderr


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_stay_light(module, tmp_path):
    # Not a contract of import-linter: it also counts what a function imports when it is called.
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = run_python("-c", code, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr


@pytest.fixture(scope="module")
def arrows():
    """Module to the modules of dope that it imports, in functions too, type checking apart."""
    graph = grimp.build_graph("dope", exclude_type_checking_imports=True, cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def test_imports_form_no_circle(arrows):
    assert "dope.core.errors" in arrows["dope.core.backend"]  # the graph sees through the links
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_every_core_module_has_one_floor():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layers = re.search(r"^layers = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    floors = re.findall(r"dope\.core\.([\w.]+)", layers[1])
    assert len(floors) == len(set(floors))
    missing = {name for name in CORE if name not in floors and name.split(".")[0] not in floors}
    assert not missing, "add it to the layers under tool.importlinter in pyproject.toml"


def stand_in(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path):
    """A PATH with the tools that .ci/venv needs and five Pythons, none of which runs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("cat", "cksum", "dirname", "mkdir", "rm"):
        stand_in(folder, tool, f'PATH={os.defpath} exec {tool} "$@"')
    for name in ("python3.11", "python3.12", "python3.10", "python3.9", "python3"):
        stand_in(folder, name, f"echo 'pyenv: {name}: command not found' >&2; exit 127")
    return folder


def make_venv(machine: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(ROOT / ".ci" / "venv"), str(machine.parent / "a venv"), "cpu"],
        env={"PATH": str(machine), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_venv_without_a_python_says_what_to_install(machine):
    done = make_venv(machine)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no usable Python: install 3.11" in done.stderr
    assert not (machine.parent / "a venv").exists()


def test_venv_passes_over_what_does_not_run_or_is_too_new(machine):
    # The third of the list is usable; it then refuses to make a venv, and so shows its name.
    real = (
        'case "$*" in *venv*sys.exit*) exit 0 ;; *_base_executable*) echo "$0" ;; '
        '"-m venv "*) echo "asked: $0"; exit 9 ;; *) echo 3.10 ;; esac'
    )
    too_new = f'exec "{sys.executable}" -c "import sys; sys.version_info = (3, 13); $2"'
    stand_in(machine, "python3.11", too_new)
    stand_in(machine, "python3.10", real)
    stand_in(machine, "python3", real)
    done = make_venv(machine)
    assert done.stdout == f"asked: {machine / 'python3.10'}\n", done.stderr
    assert done.returncode == 9


def test_venv_takes_the_python_that_is_named_or_none(machine):
    done = make_venv(machine, PYTHON="python3.9")
    assert done.returncode == 1
    assert done.stderr == (
        "dope: PYTHON=python3.9 will not do: dope needs Python 3.9 to 3.12 with its venv module\n"
    )


def test_venv_of_somebody_else_is_never_deleted(machine):
    own = machine.parent / "a venv" / "bin"
    own.mkdir(parents=True)
    stand_in(own, "python", "echo 3.13")
    done = make_venv(machine)
    assert done.returncode == 1
    assert "was made by somebody else, with Python 3.13: move it away" in done.stderr
    assert (own / "python").exists()
