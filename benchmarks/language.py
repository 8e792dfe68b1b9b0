"""How fast language models train: dope, the book's loop and PyTorch in turn, symbols a second.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/language.py --torch PATH/TO/ITS/python

PyTorch needs an environment of its own (benchmarks/README.md); without one it is left out. Results
go to ``benchmarks/language.json`` and into ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from classifiers import ABOUT_DOPE, ABOUT_TORCH, PAGE, Failed, child, machine, say

HERE = Path(__file__).resolve().parent
LOOPS = HERE / "language"
MARKS = ("<!-- language begin -->", "<!-- language end -->")
TOOLS = {
    "book": "book_loop.py",
    "dope_scratch": "dope_loop.py",
    "dope": "dope_loop.py",
    "torch_eager": "torch_loop.py",
    "torch_compiled": "torch_loop.py",
}
RATIOS = (
    ("dope", "torch_eager"),
    ("dope", "torch_compiled"),
    ("dope", "book"),
    ("dope_scratch", "book"),
)

sys.path.insert(0, str(LOOPS))
from corpora import CASES, write_text  # noqa: E402


def measure(
    python: str, case: str, tool: str, text: Path, seconds: float, threads: int
) -> dict[str, Any]:
    """One answer of one tool, checked for being the case's model and for learning."""
    given = {"case": case, "tool": tool, "text": text, "seconds": seconds, "threads": threads}
    words = [str(word) for key, value in given.items() for word in (f"--{key}", value)]
    found = child([python, str(LOOPS / TOOLS[tool]), *words], text.parent)
    if found.get("parameters") != CASES[case].parameters:
        raise Failed(f"{found.get('parameters')} parameters, not {CASES[case].parameters}")
    if not found.get("loss", float("nan")) < 10:  # nan too
        raise Failed(f"it does not learn: loss {found.get('loss')}")
    return found


def rounds_of(
    given: argparse.Namespace, pythons: dict[str, str], threads: int
) -> dict[str, dict[str, list[Any]]]:
    """Answers by case and tool: in each round every tool once, in turn, for one case at a time."""
    answers: dict[str, dict[str, list[Any]]] = {case: {} for case in given.only}
    with tempfile.TemporaryDirectory() as folder:
        for case in given.only:
            (Path(folder) / case).mkdir()
            write_text(Path(folder) / case, CASES[case])
            words = CASES[case].words
            answers[case] = {t: [] for t in pythons if not (words and t == "dope_scratch")}
        for number in range(given.rounds):
            for case, tools in answers.items():
                # Back and forth, so that a machine that slows down does so for all tools alike.
                for tool in list(tools)[:: -1 if number % 2 else 1]:
                    if tools[tool] and isinstance(tools[tool][-1], str):
                        continue
                    where = (pythons[tool], case, tool, Path(folder) / case)
                    try:
                        found = measure(*where, given.seconds, threads)
                    except Failed as error:
                        say(f"round {number + 1}  {case:10} {tool:15} left out: {error}")
                        tools[tool] = [str(error)]
                        continue
                    tools[tool].append(found)
                    speed = f"{found['tokens_per_s']:>10,.0f} symbols/s"
                    say(f"round {number + 1}  {case:10} {tool:15} {speed}")
    return answers


def rows_of(answers: dict[str, dict[str, list[Any]]]) -> list[dict[str, Any]]:
    """One row a case: median symbols/s of each tool, all rounds, and ratios."""
    rows = []
    for case, tools in answers.items():
        row: dict[str, Any] = {"case": case, "median": {}, "rounds": {}, "failed": {}, "ratio": {}}
        for tool, found in tools.items():
            if any(isinstance(each, str) for each in found):
                row["failed"][tool] = found[-1]
                continue
            rates = [round(each["tokens_per_s"], 1) for each in found]
            row["rounds"][tool], row["median"][tool] = rates, statistics.median(rates)
        medians = row["median"]
        for ours, theirs in RATIOS:
            if ours in medians and theirs in medians:
                row["ratio"][f"{ours}/{theirs}"] = round(medians[ours] / medians[theirs], 3)
        rows.append(row)
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """The table as Markdown."""
    names = {tool: tool.replace("_", " ") for tool in TOOLS}
    heads = ["case", *names.values(), *(f"{names[a]} / {names[b]}" for a, b in RATIOS)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        medians = [row["median"].get(tool) for tool in TOOLS]
        cells = [row["case"], *("" if m is None else f"{m:,.0f}" for m in medians)]
        ratios = [row["ratio"].get(f"{a}/{b}") for a, b in RATIOS]
        cells += ["" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(made: dict[str, Any]) -> None:
    """Write the JSON, and the table between its marks."""
    (HERE / "language.json").write_text(json.dumps(made, indent=1) + "\n")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    if rest:
        text = f"{before}{MARKS[0]}\n{page(made['rows'])}\n{MARKS[1]}{after}"
        PAGE.write_text(text, encoding="utf-8")


def interpreters(given: argparse.Namespace) -> tuple[dict[str, str], dict[str, Any]]:
    """The interpreter of each tool that can be measured; versions, threads and environment."""
    torch = given.torch or os.environ.get("DOPE_TORCH_PYTHON")
    wanted = [tool for tool in TOOLS if tool in given.tools]
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
    return {t: torch if t.startswith("torch") else sys.executable for t in wanted}, about


def arguments(words: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    cases, tools = list(CASES), list(TOOLS)
    add("--torch", metavar="PYTHON", help="python that has PyTorch (else DOPE_TORCH_PYTHON)")
    add("--rounds", type=int, default=5, help="times that each tool is measured (5)")
    add("--seconds", type=float, default=3.0, help="seconds of training in each (3)")
    add("--only", nargs="+", choices=cases, default=cases, metavar="CASE", help=str(cases))
    add("--tools", nargs="+", choices=tools, default=tools, metavar="TOOL", help=str(tools))
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
    if given.no_write:
        return 0
    if set(given.only) != set(CASES) or set(given.tools) != set(TOOLS):
        say("not written: the page takes all cases and all tools of one run (no --only, --tools)")
        return 0
    write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
