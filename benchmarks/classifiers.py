"""How fast the image classifiers train: dope, the book's loop, bare MXNet and PyTorch in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/classifiers.py --torch PATH/TO/ITS/python

PyTorch needs an environment of its own (benchmarks/README.md); without one it is left out. Results
go to ``benchmarks/classifiers.json`` and into ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

HERE = Path(__file__).resolve().parent
LOOPS = HERE / "classifiers"
PAGE = HERE.parent / "docs" / "performance.md"
MARKS = ("<!-- classifiers begin -->", "<!-- classifiers end -->")
TOOLS = {
    "book": "book_loop.py",
    "bare": "bare_loop.py",
    "bare_flat": "bare_loop.py",
    "dope": "dope_loop.py",
    "torch_eager": "torch_loop.py",
    "torch_compiled": "torch_loop.py",
}
RATIOS = ("torch_eager", "torch_compiled", "book", "bare", "bare_flat")
LIMIT = 900  # seconds that one child may take, compiling included
# A setting of the one who measures would hold for some tools and not for others.
FORGET = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MXNET_", "DMLC_", "TORCH")

sys.path.insert(0, str(LOOPS))
from cases import CASES, write_images  # noqa: E402

ABOUT_DOPE = """
import json, numpy, dope
from dope.core import backend
versions = {"dope": dope.__version__, "mxnet": backend.mx.__version__, "numpy": numpy.__version__}
print(json.dumps({"versions": versions, "threads": backend.physical_cores(),
    "environment": backend.environment}))
"""
ABOUT_TORCH = """
import json, numpy, torch
print(json.dumps({"torch": torch.__version__, "numpy beside torch": numpy.__version__}))
"""


class Failed(Exception):
    """A child did not give an answer; says why in one line."""


def child(command: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run a program to its end and return the JSON of its last line.

    Raises
    ------
    Failed
        It could not be started, took too long, failed, or answered something else.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(FORGET)}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
    environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # and no processes that outlive the child
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from None
    try:
        out, err = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise Failed(f"no answer within {LIMIT} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise Failed(reason(err) or f"exit code {process.returncode}")
    try:
        found = json.loads(out.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise Failed("no line of JSON at its end") from None
    return dict(found)


def reason(text: str) -> str:
    """The line of a traceback that names the error, or else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
    return (named or lines or [""])[-1][:300]


def measure(
    python: str, case: str, tool: str, images: Path, seconds: float, threads: int
) -> dict[str, Any]:
    """One answer of one tool, checked for being the case's model and for learning."""
    given = {"case": case, "tool": tool, "images": images, "seconds": seconds, "threads": threads}
    words = [str(word) for key, value in given.items() for word in (f"--{key}", value)]
    found = child([python, str(LOOPS / TOOLS[tool]), *words], images.parent)
    if found.get("parameters") != CASES[case].parameters:
        raise Failed(f"{found.get('parameters')} parameters, not {CASES[case].parameters}")
    if not found.get("loss", float("nan")) < 10:  # nan too
        raise Failed(f"it does not learn: loss {found.get('loss')}")
    return found


def rounds_of(
    given: argparse.Namespace, pythons: dict[str, str], threads: int
) -> dict[str, dict[str, list[Any]]]:
    """Answers by case and tool: in each round every tool once, in turn, for one case at a time."""
    answers: dict[str, dict[str, list[Any]]] = {
        case: {tool: [] for tool in pythons} for case in given.only
    }
    failed: set[tuple[str, str]] = set()
    with tempfile.TemporaryDirectory() as folder:
        for case in given.only:
            images = Path(folder) / case
            images.mkdir()
            write_images(images, CASES[case].images)
        for number in range(given.rounds):
            for case in given.only:
                # Back and forth, so that a machine that slows down does so for all tools alike.
                for tool in list(pythons)[:: -1 if number % 2 else 1]:
                    if (case, tool) in failed:
                        continue
                    python = pythons[tool]
                    images = Path(folder) / case
                    try:
                        found = measure(python, case, tool, images, given.seconds, threads)
                    except Failed as error:
                        failed.add((case, tool))
                        say(f"round {number + 1}  {case:8} {tool:15} left out: {error}")
                        answers[case][tool] = [str(error)]
                        continue
                    answers[case][tool].append(found)
                    say(
                        f"round {number + 1}  {case:8} {tool:15} "
                        f"{found['examples_per_s']:>10,.0f} samples/s"
                    )
    return answers


def rows_of(answers: dict[str, dict[str, list[Any]]]) -> list[dict[str, Any]]:
    """One row a case: median samples/s of each tool, all rounds, ratios of dope to the others."""
    rows = []
    for case, tools in answers.items():
        row: dict[str, Any] = {"case": case, "batch": CASES[case].batch}
        row |= {"median": {}, "rounds": {}, "failed": {}, "ratio": {}}
        for tool, found in tools.items():
            if any(isinstance(each, str) for each in found):
                row["failed"][tool] = found[-1]
                continue
            rates = [round(each["examples_per_s"], 1) for each in found]
            row["rounds"][tool], row["median"][tool] = rates, statistics.median(rates)
        medians = row["median"]
        for tool in RATIOS:
            if "dope" in medians and tool in medians:
                row["ratio"][f"dope/{tool}"] = round(medians["dope"] / medians[tool], 3)
        rows.append(row)
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """The table as Markdown."""
    heads = ["case", *(tool.replace("_", " ") for tool in TOOLS)]
    heads += [f"dope / {tool.replace('_', ' ')}" for tool in RATIOS]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        cells = [row["case"]]
        for tool in TOOLS:
            median = row["median"].get(tool)
            cells.append("" if median is None else f"{median:,.0f}")
        for tool in RATIOS:
            ratio = row["ratio"].get(f"dope/{tool}")
            cells.append("" if ratio is None else f"{ratio:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(made: dict[str, Any]) -> None:
    """Write the JSON, and the table between its marks."""
    (HERE / "classifiers.json").write_text(json.dumps(made, indent=1) + "\n")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    if rest:
        text = f"{before}{MARKS[0]}\n{page(made['rows'])}\n{MARKS[1]}{after}"
        PAGE.write_text(text, encoding="utf-8")


def machine() -> dict[str, Any]:
    """Where this was measured."""
    name = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = round(os.getloadavg()[0], 2)
    if load > 0.5:
        say(f"the load of the last minute is {load}: while others run, threads that wait for")
        say("each other suffer most, and not alike in all tools; take no ratio from such a run")
    return {"processor": name, "logical_cpus": os.cpu_count(), "load_before": load}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def interpreters(given: argparse.Namespace) -> tuple[dict[str, str], dict[str, Any]]:
    """The interpreter of each tool that can be measured; versions, threads and environment."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            about = child([sys.executable, "-c", ABOUT_DOPE], Path(folder))
        except Failed as error:
            raise SystemExit(f"dope does not start here: {error}") from None
        torch = given.torch or os.environ.get("DOPE_TORCH_PYTHON")
        missing = "give --torch PYTHON or DOPE_TORCH_PYTHON (benchmarks/README.md says how)"
        if torch and any(tool.startswith("torch") for tool in given.tools):
            try:
                about["versions"] |= child([torch, "-c", ABOUT_TORCH], Path(folder))
                missing = ""
            except Failed as error:
                missing = f"{torch}: {error}"
    wanted = [tool for tool in TOOLS if tool in given.tools]
    if missing and any(tool.startswith("torch") for tool in wanted):
        say(f"PyTorch is left out: {missing}")
        wanted = [tool for tool in wanted if not tool.startswith("torch")]
    about["versions"]["python"] = platform.python_version()
    return {t: torch if t.startswith("torch") else sys.executable for t in wanted}, about


def arguments(words: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--torch", metavar="PYTHON", help="python that has PyTorch (else DOPE_TORCH_PYTHON)")
    add("--rounds", type=int, default=5, help="times that each tool is measured (5)")
    add("--seconds", type=float, default=3.0, help="seconds of training in each (3)")
    add("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=str([*CASES]))
    add(
        "--tools", nargs="+", choices=TOOLS, default=list(TOOLS), metavar="TOOL", help=str([*TOOLS])
    )
    add("--no-write", action="store_true", help="print only")
    given = parser.parse_args(words)
    if given.rounds < 1 or given.seconds <= 0:
        parser.error("--rounds is at least 1 and --seconds above 0")
    return given


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        made: dict[str, Any] = {"machine": machine()}
        pythons, about = interpreters(given)
        made |= {**about, "rounds": given.rounds, "seconds": given.seconds}
        answers = rounds_of(given, pythons, about["threads"])
    except KeyboardInterrupt:
        say("interrupted: nothing was written")
        return 130
    made["rows"] = rows_of(answers)
    print(page(made["rows"]))
    whole = set(given.only) == set(CASES) and set(given.tools) == set(TOOLS)
    if given.no_write:
        return 0
    if not whole:
        say("not written: the page takes all cases and all tools of one run (no --only, --tools)")
        return 0
    write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
