"""The documentation tells the truth: commands, options, links, examples, marks.

Holds no wording and no taste; the numbers of docs/errata.md are in test_errata.py. Every block of
the README and of docs/plugins.md is run, in an environment of its own.
"""

from __future__ import annotations

import inspect
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dope.cli import cli
from dope.core.callbacks import Callback
from dope.core.configuring.asking import describe_questions
from dope.core.configuring.options import OPTIMIZERS, part_signature
from dope.core.hookspecs import Hooks
from dope.core.plugging.discovery import KIND_OF_HOOK, discover
from dope.core.task import Task
from dope.plugins.timeseries.series import Csv

ROOT = Path(__file__).resolve().parents[1]
Environment = runpy.run_path(str(Path(__file__).with_name("environment.py")))["Environment"]
GUIDE = "docs/plugins.md"
RUN = ["README.md", GUIDE]  # every block of these pages
SETS_UP = "sets up an environment over the network; .ci/run does the same"
NOT_RUN = {
    "make run": SETS_UP,
    "make test": SETS_UP,
    "python3.11 -m venv .venv && . .venv/bin/activate": SETS_UP,
    "pip install -e '.[cpu]'": SETS_UP,
    "pip install -e '.[cpu,dev]' && python -m pytest -n auto": SETS_UP,
    "dope run vision.cnn dataset=vision.mnist dataset.download=true": "downloads",
    "core/        the framework: registry, configuration, engine, trainer, runs, checkpoints": (
        "names folders"
    ),
}
SHORTER = {  # the same, in less time
    "dope run vision.cnn": "dope run vision.cnn trainer.epochs=1",
}
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
        if re.match(r"(\$ )?dope ", line) and not re.search(r"acme|churn", line)
    }
    for text in WITHOUT_BLOCKS.values():
        for inline in re.findall(r"`(dope [^`]+)`", text):
            if not re.search(r"[A-Z]{3}|…|acme|churn", inline):
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
    if not args and name in ("run", "resume", "launch", "eval", "predict", "show"):
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


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {GUIDE}))  # that page is run
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
    text = re.sub(r"(core|plugins)[/.][\w/.]+", "", text)
    said = {word for word in re.findall(pattern, text) if not word.endswith((".py", ".md"))}
    wrong_on_purpose = "model.trnd"
    assert said <= known | {wrong_on_purpose}, said - known


@pytest.mark.parametrize("page", PAGES)
def test_part_names_exist(registry, page):
    kinds = ("task", "dataset", "model", "loss")
    known = {e.name for kind in kinds for e in registry.entries(kind)}
    plugins = "timeseries|vision|losses|nlp|generative|bayes|tabular|recsys"
    pattern = rf"(?<![\w/.])(?:{plugins})\.(?!py\b|md\b)[a-z]\w*"
    said = set(re.findall(pattern, PAGES[page]))
    assert said <= known, said - known


@pytest.mark.parametrize("page", PAGES)
def test_flags_exist(registry, page):
    found = [*cli.commands.values(), *cli.commands["plugin"].commands.values()]
    known = {option for command in found for p in command.params for option in p.opts}
    for task in registry.entries("task"):
        known |= {row.key for row in describe_questions(registry, task.name)}
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


def test_hook_table_is_that_of_the_hook_specifications():
    rows = re.findall(r"^\| `(register_\w+)` \| (.+) \| `(\w+)` \|$", PAGES[GUIDE], flags=re.M)
    hooks = {name: hook for name, hook in vars(Hooks).items() if not name.startswith("_")}
    assert [name for name, _, _ in rows] == list(hooks) == list(KIND_OF_HOOK)
    for name, meaning, argument in rows:
        assert list(inspect.signature(hooks[name]).parameters) == ["self", argument]
        specified = inspect.getdoc(hooks[name]).partition(": ")[2].rstrip(".").replace("``", "`")
        assert meaning == specified, name


def test_part_and_method_tables_are_those_of_the_code():
    text = PAGES[GUIDE]
    told = re.findall(r"^\| `(\w+)\((.*?)\)` \|", text, flags=re.M)
    own = {name: method for name, method in vars(Task).items() if inspect.isfunction(method)}
    assert {name for name, _ in told} == own.keys() - {"finished"}
    for name, arguments in told:
        taken = list(inspect.signature(own[name]).parameters)[1:]
        assert arguments.split(", ") == taken or (arguments, taken) == ("", []), name
    events = {name for name in vars(Callback) if name.startswith("on_")}
    assert set(re.findall(r"`(on_\w+)`", text)) == events


class Block(NamedTuple):
    """A fenced block: its line, its language, the paragraph above it, and its text."""

    line: int
    language: str
    above: str
    text: str


def every_block(page: str) -> list[Block]:
    """All fenced blocks of a page."""
    found = []
    for match in re.finditer(r"^```(.*)\n((?:.*\n)*?)```$", PAGES[page], flags=re.M):
        above = PAGES[page][: match.start()]
        paragraph = above.rstrip().rpartition("\n\n")[2]
        found.append(Block(above.count("\n") + 1, match[1], paragraph, match[2]))
    return found


def places(folder: Path) -> None:
    """What the pages take to be there: dope's examples, and files of the reader's own."""
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignored)
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(10):
            picture = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
            picture.save(folder / "photos" / name / f"{i}.png")
    picture.save(folder / "photo.jpg")
    months = [f"{year}-{month:02d}-01" for year in range(2010, 2018) for month in range(1, 13)]
    rows = [f"{day},{10 + 0.1 * i + rng.normal():.3f}" for i, day in enumerate(months)]
    (folder / "my.csv").write_text("\n".join(["date,sold", *rows]) + "\n")


def masked(line: str) -> str:
    """A line of output without what differs from run to run: numbers, names of runs, spaces."""
    line = re.sub(r"\d{8}-\d{6}-[0-9a-f]{4}", "RUN", line)
    line = re.sub(r"-?\d[\d.,]*(e-?\d+)?", "0", line)
    return re.sub(r"\s+", " ", re.sub(r"-{2,}", "--", line)).strip()


def check_output(block: Block, printed: str) -> None:
    """Insist that each line of a transcript was printed, in this order; … stands for anything."""
    lines = iter([masked(line) for line in printed.splitlines()])
    for expected in block.text.splitlines():
        if expected.strip() and not expected.startswith("$ "):
            pattern = ".*".join(re.escape(part) for part in masked(expected).split("…"))
            assert any(re.fullmatch(pattern, line) for line in lines), (expected, printed)


def check_excerpt(block: Block) -> bool:
    """Whether a block is said to be from a file; if so, it must be."""
    named = re.findall(r"`(examples/[\w./-]+\.\w+)`", block.above)
    if not named:
        return False
    text = (ROOT / named[-1]).read_text(encoding="utf-8")
    assert block.text in text, f"{named[-1]} does not hold the block at line {block.line}"
    if "the end of" not in block.above and not block.above.startswith("From "):
        assert block.text == text, f"line {block.line}: not the whole of {named[-1]}"
    return True


def run_block(block: Block, environment, folder: Path) -> None:
    """Run one block, or insist that it is an exception."""
    if block.language in ("sh", "console"):
        lines = block.text.splitlines()
        if block.language == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        script = [SHORTER.get(line, line) for line in lines if line not in NOT_RUN]
        done = environment.sh("\n".join(script) or "true", folder)
        wrong = "\nerror: " in f"\n{block.text}"
        assert (done.returncode != 0) == wrong, f"line {block.line}:\n{block.text}\n{done.stdout}"
        if block.language == "console":
            check_output(block, done.stdout)
    elif block.language == "python":
        if not check_excerpt(block):
            (folder / "block.py").write_text(block.text)
            done = environment.sh("python block.py", folder)
            assert done.returncode == 0, f"line {block.line}: {done.stdout}"
    elif block.language == "toml":
        assert block.text in (ROOT / "examples/dope-acme/pyproject.toml").read_text()
    else:
        assert block.text.split("\n")[0] in NOT_RUN, (
            f"line {block.line} is neither run nor excepted"
        )


@pytest.mark.parametrize("page", RUN)
def test_every_block_runs(page, tmp_path):
    environment = Environment(tmp_path / "venv")
    places(tmp_path)
    found = every_block(page)
    assert len(found) == len(re.findall(r"^```", PAGES[page], flags=re.M)) / 2 >= 10
    for block in found:
        run_block(block, environment, tmp_path)


@pytest.mark.parametrize(
    "block",
    [
        Block(1, "sh", "", "true\nfalse\ntrue\n"),
        Block(1, "console", "", "$ echo one\ntwo\n"),
        Block(1, "console", "", "$ false\n"),
        Block(1, "console", "", "$ echo fine\nerror: no\n"),
        Block(1, "python", "", "raise SystemExit(1)\n"),
        Block(1, "python", "`examples/dope-acme/src/dope_acme/plugin.py`:", "import dope\n"),
        Block(1, "toml", "", "[nothing]\n"),
        Block(1, "text", "", "anything\n"),
    ],
)
def test_a_wrong_block_fails(block, tmp_path):
    with pytest.raises(AssertionError):
        run_block(block, Environment(tmp_path / "venv"), tmp_path)


def test_no_exception_is_left_over():
    lines = {
        line.removeprefix("$ ")
        for page in RUN
        for block in every_block(page)
        for line in block.text.splitlines()
    }
    assert NOT_RUN.keys() | SHORTER.keys() <= lines


@pytest.mark.parametrize(("task", "most"), [("survival", 40), ("gan", 80)])
def test_tasks_of_the_guide_are_as_short_as_it_says(task, most):
    (block,) = [b for b in every_block(GUIDE) if b.above.endswith(f"dope_acme/{task}.py`:")]
    assert sum(bool(line.strip()) for line in block.text.splitlines()) <= most
    assert f"in {most} lines" in PAGES[GUIDE]
