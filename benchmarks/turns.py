"""What the benchmark programs share: children that measure, in turn, and where results go.

Holds neither models nor loops; those are in the folder that is named as each program.
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
LIMIT = 900  # seconds that one child may take, compiling included
# A setting of the one who measures would hold for some tools and not for others.
FORGET = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MXNET_", "DMLC_", "TORCH")

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

Answers = dict[str, dict[str, list[Any]]]  # by case and tool: of each round, or why there are none


class Failed(Exception):
    """A child did not give an answer; says why in one line."""


def child(command: Sequence[str], folder: Path, threads: Optional[int] = None) -> dict[str, Any]:
    """Run a program to its end and return the JSON of its last line.

    Parameters
    ----------
    command
        The program and its arguments.
    folder
        For what it keeps for its next start.
    threads
        Threads of an operator; by default what its libraries choose.

    Raises
    ------
    Failed
        It could not be started, took too long, failed, or answered something else.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(FORGET)}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
    environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # and no processes that outlive the child
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
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


def measured(
    python: str,
    loop: Path,
    given: Mapping[str, Any],
    folder: Path,
    size: int,
    small: bool = False,
) -> dict[str, Any]:
    """The answer of a loop to options, checked for being the case's model and for learning.

    Parameters
    ----------
    python, loop, given
        What is started with which options.
    folder
        As for `child`.
    size
        Learned numbers of the case's model.
    small
        Whether one thread does.

    Raises
    ------
    Failed
        It gave none, has another size, or a loss that is no small number.
    """
    words = [str(word) for key, value in given.items() for word in (f"--{key}", value)]
    found = child([python, str(loop), *words], folder, 1 if small else None)
    if found.get("parameters") != size:
        raise Failed(f"{found.get('parameters')} parameters, not {size}")
    if not found.get("loss", float("nan")) < 10:  # nan too
        raise Failed(f"it does not learn: loss {found.get('loss')}")
    return found


def in_turn(
    plan: Mapping[str, Sequence[str]],
    rounds: int,
    measure: Callable[[str, str], dict[str, Any]],
    told: Callable[[dict[str, Any]], str],
) -> Answers:
    """In each round every tool once, in turn, for one case at a time.

    Parameters
    ----------
    plan
        The tools of each case.
    rounds
        How often.
    measure
        Measures a case with a tool once; raises `Failed`, and then that tool is left out.
    told
        An answer as the one who waits is told it.
    """
    answers: Answers = {case: {tool: [] for tool in tools} for case, tools in plan.items()}
    for number in range(rounds):
        for case, tools in plan.items():
            # Back and forth, so that a machine that slows down does so for all tools alike.
            for tool in list(tools)[:: -1 if number % 2 else 1]:
                found = answers[case][tool]
                if found and isinstance(found[-1], str):
                    continue
                label = f"round {number + 1}  {case:10} {tool:15}"
                try:
                    found.append(measure(case, tool))
                except Failed as error:
                    answers[case][tool] = [str(error)]
                    say(f"{label} left out: {error}")
                    continue
                say(f"{label} {told(found[-1])}")
    return answers


def rows_of(answers: Answers, rate: str, ratios: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """One row a case: median of each tool, all rounds, and ratios of medians.

    Parameters
    ----------
    answers
        As of `in_turn`.
    rate
        The key of an answer that says how fast it was.
    ratios
        Pairs of tools.
    """
    rows = []
    for case, tools in answers.items():
        row: dict[str, Any] = {"case": case, "median": {}, "rounds": {}, "failed": {}, "ratio": {}}
        for tool, found in tools.items():
            if any(isinstance(each, str) for each in found):
                row["failed"][tool] = found[-1]
                continue
            rates = [round(each[rate], 1) for each in found]
            row["rounds"][tool], row["median"][tool] = rates, statistics.median(rates)
        medians = row["median"]
        for ours, theirs in ratios:
            if ours in medians and theirs in medians:
                row["ratio"][f"{ours}/{theirs}"] = round(medians[ours] / medians[theirs], 3)
        rows.append(row)
    return rows


def page_of(
    rows: Sequence[Mapping[str, Any]], tools: Sequence[str], ratios: Sequence[tuple[str, str]]
) -> str:
    """What `rows_of` gave, as a table in Markdown."""
    names = {tool: tool.replace("_", " ") for tool in tools}
    cells = []
    for row in rows:
        medians = [row["median"].get(tool) for tool in tools]
        found = [row["ratio"].get(f"{a}/{b}") for a, b in ratios]
        cells.append(
            [
                row["case"],
                *("" if m is None else f"{m:,.0f}" for m in medians),
                *("" if r is None else f"{r:.2f}" for r in found),
            ]
        )
    return table(["case", *names.values(), *(f"{names[a]} / {names[b]}" for a, b in ratios)], cells)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def write(name: str, made: Mapping[str, Any], page: str) -> None:
    """Write ``NAME.json``, and the table between the marks of that name in the page."""
    (HERE / f"{name}.json").write_text(json.dumps(made, indent=1) + "\n")
    begin, end = f"<!-- {name} begin -->", f"<!-- {name} end -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if found:
        PAGE.write_text(f"{before}{begin}\n{page}\n{end}{after}", encoding="utf-8")
    else:
        say(f"{PAGE} has no {begin}: the table was not written there")


def machine() -> dict[str, Any]:
    """Where this is measured."""
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


def interpreters(
    tools: Sequence[str], torch: Optional[str]
) -> tuple[dict[str, str], dict[str, Any]]:
    """The interpreter of each tool that can be measured; versions, threads and environment.

    Parameters
    ----------
    tools
        Those that are wanted; names that begin with ``torch`` need PyTorch.
    torch
        A python that has it; else the environment's ``DOPE_TORCH_PYTHON``.
    """
    torch = torch or os.environ.get("DOPE_TORCH_PYTHON")
    wanted = list(tools)
    with tempfile.TemporaryDirectory() as folder:
        try:
            about = child([sys.executable, "-c", ABOUT_DOPE], Path(folder))
        except Failed as error:
            raise SystemExit(f"dope does not start here: {error}") from None
        if any(tool.startswith("torch") for tool in wanted):
            missing = "give --torch PYTHON or DOPE_TORCH_PYTHON (benchmarks/README.md says how)"
            try:
                if torch:
                    about["versions"] |= child([torch, "-c", ABOUT_TORCH], Path(folder))
                    missing = ""
            except Failed as error:
                missing = f"{torch}: {error}"
            if missing:
                say(f"PyTorch is left out: {missing}")
                wanted = [tool for tool in wanted if not tool.startswith("torch")]
    about["versions"]["python"] = platform.python_version()
    return {t: str(torch) if t.startswith("torch") else sys.executable for t in wanted}, about


def parser(description: str, tools: Sequence[str], seconds: float) -> argparse.ArgumentParser:
    """The options that all programs have."""
    made = argparse.ArgumentParser(description=description)
    add, names = made.add_argument, list(tools)
    add("--torch", metavar="PYTHON", help="python that has PyTorch (else DOPE_TORCH_PYTHON)")
    add("--rounds", type=int, default=5, help="times that each tool is measured (5)")
    add("--seconds", type=float, default=seconds, help=f"seconds of each measurement ({seconds})")
    add("--tools", nargs="+", choices=names, default=names, metavar="TOOL", help=str(names))
    add("--no-write", action="store_true", help="print only")
    add("--small", action="store_true", help="little data, one thread: only to see that all runs")
    return made


def parsed(
    made: argparse.ArgumentParser, words: Optional[Sequence[str]] = None
) -> argparse.Namespace:
    """The options, checked."""
    given = made.parse_args(words)
    if given.rounds < 1 or given.seconds <= 0:
        made.error("--rounds is at least 1 and --seconds above 0")
    return given


def run(
    name: str,
    given: argparse.Namespace,
    measure: Callable[[dict[str, str], int], Answers],
    rows_from: Callable[[Answers], list[dict[str, Any]]],
    page_from: Callable[[Any], str],
    whole: bool,
    **about: Any,
) -> int:
    """Measure, print, and write what a whole run found; the exit code.

    Parameters
    ----------
    name
        Of the program, its JSON file and its marks.
    given
        Its options.
    measure
        From the interpreter of each tool and the number of threads to answers.
    rows_from, page_from
        From answers to rows, and from rows to a table.
    whole
        Whether the options ask for everything that the page shows.
    about
        What else the JSON file says.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        made: dict[str, Any] = {"machine": machine()}
        pythons, found = interpreters(given.tools, given.torch)
        made |= {**found, **about, "rounds": given.rounds, "seconds": given.seconds}
        answers = measure(pythons, found["threads"])
    except KeyboardInterrupt:
        say("interrupted: nothing was written")
        return 130
    made["rows"] = rows_from(answers)
    page = page_from(made["rows"])
    print(page)
    if given.no_write:
        return 0
    if given.small or not whole:
        say("not written: the page takes a whole run (no --only, no --tools, no --small)")
        return 0
    write(name, made, page)
    return 0


def say(text: str) -> None:
    """Tell the one who waits."""
    print(text, file=sys.stderr, flush=True)
