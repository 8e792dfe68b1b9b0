"""The documentation tells the truth: commands, options, links, examples, marks.

Holds no wording and no taste; the numbers of docs/errata.md are in test_errata.py.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dope.cli import cli
from dope.core.discovery import discover
from dope.core.options import OPTIMIZERS, part_signature
from dope.plugins.timeseries.series import Csv

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
WITHOUT_BLOCKS = {
    page: re.sub(r"^```.*?^```", "", text, flags=re.S | re.M) for page, text in PAGES.items()
}


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], flags=re.S | re.M)


def commands() -> list[str]:
    """Every ``dope …`` line of every shell block and terminal transcript, and inline runs."""
    found = {
        line.removeprefix("$ ")
        for page in PAGES
        for language in ("sh", "console")
        for block in blocks(page, language)
        for line in block.splitlines()
        if re.match(r"(\$ )?dope ", line)
    }
    for text in WITHOUT_BLOCKS.values():
        for inline in re.findall(r"`(dope [^`]+)`", text):
            if not re.search(r"[A-Z]{3}|…|demo\.", inline):
                found.add(" ".join(inline.split()))
    return sorted(found)


@pytest.fixture(scope="module")
def registry():
    return discover()


def test_pages_hold_commands():
    assert len(commands()) >= 15


@pytest.mark.parametrize("command", commands())
def test_command_parses(command):
    name, *args = shlex.split(command)[1:]
    if not args and name in ("run", "resume", "eval", "predict", "show"):
        assert name in cli.commands  # its name alone, in a sentence
    elif "trnd" in command:
        done = CliRunner().invoke(cli, ["run", *args, "--dry-run"])
        said = re.search(r"^error: model\.trnd.*(?= …$)", PAGES["docs/first-run.md"], flags=re.M)[0]
        assert done.exit_code == 2 and done.output.startswith(said), done.output
    elif name == "run":
        done = CliRunner().invoke(cli, ["run", *args, "--dry-run"])
        assert done.exit_code == 0, done.output
    elif name in ("list", "show", "plugins"):
        done = CliRunner().invoke(cli, [name, *args])
        assert done.exit_code == 0, done.output
    else:
        with cli.commands[name].make_context(name, args):  # fails on an unknown option
            pass


def test_readme_lists_each_command_once():
    listed = re.findall(r"^\| `dope (\w+)", PAGES["README.md"], flags=re.M)
    assert sorted(listed) == sorted(cli.commands)


def test_the_two_commands_of_the_readme_are_make_targets():
    first = blocks("README.md", "sh")[0].split("\n")
    assert first == ["make run", "make test", ""]
    makefile = (ROOT / "Makefile").read_text()
    for line in first[:2]:
        assert re.search(rf"^{line.split()[1]}:", makefile, flags=re.M), line


def test_pip_extras_exist():
    project = (ROOT / "pyproject.toml").read_text()
    found = {
        extra
        for extras in re.findall(r"'\.\[([\w,]+)\]'", PAGES["README.md"])
        for extra in extras.split(",")
    }
    assert found == {"cpu", "cu112", "dev"}
    for extra in found:
        assert re.search(rf"^{extra} = \[", project, flags=re.M), extra


@pytest.mark.parametrize("page", PAGES)
def test_options_exist(registry, page):
    known = {
        f"{kind}.{option}"
        for kind in ("task", "dataset", "model", "loss")
        for entry in registry.entries(kind)
        for option in part_signature(registry, kind, entry.name).options
    }
    for optimizer in OPTIMIZERS:
        options = part_signature(registry, "optimizer", optimizer).options
        known |= {f"optimizer.{option}" for option in options}
    known |= {f"trainer.{o}" for o in part_signature(registry, "trainer", "trainer").options}
    pattern = r"(?<![\w/.])((?:task|dataset|model|loss|optimizer|trainer)\.[A-Za-z]\w*)"
    text = re.sub(r"^```(python|text)\n.*?^```", "", PAGES[page], flags=re.S | re.M)
    text = re.sub(r"(core|plugins|demo)[/.][\w/.]+", "", text)
    said = {word for word in re.findall(pattern, text) if not word.endswith((".py", ".md"))}
    wrong_on_purpose, of_the_example = "model.trnd", "dataset.n"
    assert said <= known | {wrong_on_purpose, of_the_example}, said - known


@pytest.mark.parametrize("page", PAGES)
def test_part_names_exist(registry, page):
    kinds = ("task", "dataset", "model", "loss")
    known = {e.name for kind in kinds for e in registry.entries(kind)}
    pattern = r"(?<![\w/.])(?:timeseries|vision|losses)\.(?!py\b|md\b)[a-z]\w*"
    said = set(re.findall(pattern, PAGES[page]))
    assert said <= known, said - known


@pytest.mark.parametrize("page", PAGES)
def test_flags_exist(page):
    known = {option for c in cli.commands.values() for p in c.params for option in p.opts}
    said = set(re.findall(r"(?<=`)--[a-z-]+", WITHOUT_BLOCKS[page]))
    assert said <= known, said - known


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", WITHOUT_BLOCKS[page]):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        place = ((ROOT / page).parent / path).resolve()
        assert place.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), flags=re.M)
            slugs = [re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles]
            assert anchor in slugs, target


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 150_000


def test_performance_page_has_the_marks_of_the_benchmark():
    text = PAGES["docs/performance.md"]
    marks = ["<!-- timeseries begin -->", "<!-- timeseries end -->"]
    assert [text.count(mark) for mark in marks] == [1, 1]
    assert text.index(marks[0]) < text.index(marks[1])


def test_csv_examples_are_read_as_they_are_explained(tmp_path):
    wide, long = blocks("docs/time-series.md", "csv")
    (tmp_path / "wide.csv").write_text(wide)
    (tmp_path / "long.csv").write_text(long)
    found = Csv(path=str(tmp_path / "wide.csv"), holdout=0).load()
    assert found.names == ["north", "south"] and found.values.shape == (2, 5)
    assert [bool(v != v) for v in found.values[0]] == [False, True, True, False, False]
    found = Csv(path=str(tmp_path / "long.csv"), holdout=0).load()
    assert found.names == ["north", "south"] and found.values.tolist() == [[12, 14, 13], [3, 4, 6]]


def run(path: Path, folder: Path) -> str:
    """Standard output of a Python file that must end well."""
    done = subprocess.run(
        [sys.executable, str(path)], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_task_that_is_shipped_is_named_on_a_page(registry):
    for entry in registry.entries("task"):
        assert any(f"`{entry.name}`" in text for text in PAGES.values()), entry.name


def test_every_page_can_be_reached_from_the_readme():
    for page in PAGES.keys() - {"README.md"}:
        assert f"({page})" in PAGES["README.md"], page


@pytest.mark.parametrize("page", ["README.md", "docs/performance.md", "docs/trainer.md"])
def test_python_example_runs(page, tmp_path):
    (code,) = blocks(page, "python")
    (tmp_path / "example.py").write_text(code)
    out = run(tmp_path / "example.py", tmp_path)
    if page == "README.md":
        stamps = [line.split()[0] for line in out.splitlines()[1:]]
        assert stamps == ["1971", "1972", "1973"]
    elif page == "docs/trainer.md":
        assert len(code.splitlines()) <= 45
        status, accuracy = out.split()
        assert status == "done" and float(accuracy) > 0.95
        (folder,) = (tmp_path / "runs" / "circle").iterdir()
        assert len((folder / "metrics.jsonl").read_text().splitlines()) == 20
        assert list((folder / "checkpoints").glob("best.*"))
    else:
        assert re.fullmatch(r"[\d.]+ microseconds\n", out)


def test_the_plugin_of_the_first_run_page_works(toy, tmp_path):
    files = blocks("docs/first-run.md", "python")
    names = [re.match(r"# (\w+)\.py\n", text)[1] for text in files]
    assert names == ["demo_plugin", "demo_line"]
    assert len(files[1].splitlines()) <= 40
    for name, text in zip(names, files):
        (tmp_path / f"{name}.py").write_text(text)
    (entry,) = blocks("docs/first-run.md", "toml")
    info = tmp_path / "demo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    header, line = entry.strip().split("\n")
    assert header == '[project.entry-points."dope.plugins"]'
    (info / "entry_points.txt").write_text("[dope.plugins]\n" + line.replace('"', "") + "\n")
    made = type(toy)(tmp_path)
    listed = made.dope("list", "demo").stdout
    assert "demo.fit" in listed and "Fit a line" in listed
    shown = made.dope("show", "demo.fit").stdout
    assert "dataset.noise" in shown
    runs = tmp_path / "runs"
    done = made.dope("run", "demo.fit", "dataset.n=500", "--runs", runs, "--json")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((toy.only_run(runs) / "result.json").read_text())["metrics"]
    assert 0.005 < metrics["valid_loss"] < 0.05  # the noise has a variance of 0.01
    wrong = made.dope("run", "demo.fit", "dataset.n=many", "--runs", runs)
    assert wrong.returncode == 2 and "dataset.n" in wrong.stderr
