"""How fast Tree-LSTMs train and evaluate: dope by depth and by recursion, PyTorch, the book.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/trees.py --torch PATH/TO/ITS/python --data PATH/TO/sick

PyTorch needs an environment of its own (benchmarks/README.md); without one it is left out. Without
SICK the pairs are made up, of about the same lengths. Results go to ``benchmarks/trees.json`` and
into ``docs/performance.md``.
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
LOOPS = HERE / "trees"
MARKS = ("<!-- trees begin -->", "<!-- trees end -->")
TOOLS = {
    "book": "book_loop.py",
    "dope_off": "dope_loop.py",
    "dope": "dope_loop.py",
    "torch_1": "torch_loop.py",
    "torch_2": "torch_loop.py",
}
NAMES = {
    "book": "book's recursion",
    "dope_off": "dope, recursion",
    "dope": "dope, by depth",
    "torch_1": "PyTorch recursion, 1 thread",
    "torch_2": "PyTorch recursion, all threads",
}
KINDS = {"train": "training", "eval": "evaluation"}
MADE_UP = (4500, 500)

sys.path.insert(0, str(LOOPS))
from pairs import read, write_pairs  # noqa: E402


def measure(
    python: str, tool: str, pairs: Path, seconds: float, threads: int, size: int, folder: Path
) -> dict[str, Any]:
    """One answer of one tool, checked for being the same model and for learning."""
    given = {"tool": tool, "pairs": pairs, "seconds": seconds, "threads": threads}
    words = [str(word) for key, value in given.items() for word in (f"--{key}", value)]
    found = child([python, str(LOOPS / TOOLS[tool]), *words], folder)
    if found.get("parameters") != size:
        raise Failed(f"{found.get('parameters')} parameters, not {size}")
    if not found.get("loss", float("nan")) < 10:  # nan too
        raise Failed(f"it does not learn: loss {found.get('loss')}")
    return found


def parameters(words: int) -> int:
    """Learned numbers of the model with so many words."""
    from pairs import DIM, GRADES, HIDDEN, SIMILARITY

    cell = 4 * HIDDEN * (DIM + 1) + 4 * HIDDEN * HIDDEN
    return words * DIM + cell + SIMILARITY * (2 * HIDDEN + 1) + GRADES * (SIMILARITY + 1)


def rounds_of(
    given: argparse.Namespace, pythons: dict[str, str], threads: int, data: Path, folder: Path
) -> dict[str, list[Any]]:
    """Answers by tool: in each round every tool once, in turn."""
    answers: dict[str, list[Any]] = {tool: [] for tool in pythons}
    size = parameters(read(data)[2])
    for number in range(given.rounds):
        for tool in list(pythons)[:: -1 if number % 2 else 1]:
            if answers[tool] and isinstance(answers[tool][-1], str):
                continue
            try:
                seconds = given.seconds
                found = measure(pythons[tool], tool, data, seconds, threads, size, folder)
            except Failed as error:
                say(f"round {number + 1}  {tool:10} left out: {error}")
                answers[tool] = [str(error)]
                continue
            answers[tool].append(found)
            rates = [f"{found[f'{kind}_pairs_per_s']:>8,.1f}" for kind in KINDS]
            say(f"round {number + 1}  {tool:10} {rates[0]} pairs/s training, {rates[1]} evaluation")
    return answers


def rows_of(answers: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """One row a tool: median pairs/s of both kinds, all rounds, and dope's ratio to it."""
    rows: list[dict[str, Any]] = []
    for tool, found in answers.items():
        if any(isinstance(each, str) for each in found):
            rows.append({"tool": tool, "failed": found[-1]})
            continue
        rates = {kind: [round(each[f"{kind}_pairs_per_s"], 1) for each in found] for kind in KINDS}
        medians = {kind: statistics.median(values) for kind, values in rates.items()}
        rows.append({"tool": tool, "median": medians, "rounds": rates})
    best = next((row["median"] for row in rows if row["tool"] == "dope" and "median" in row), None)
    for row in rows:
        if best and "median" in row:
            row["dope_is_faster"] = {k: round(best[k] / row["median"][k], 2) for k in KINDS}
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """The table as Markdown."""
    heads = ["pairs/s", *KINDS.values(), *(f"dope by depth, {kind}" for kind in KINDS.values())]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        cells = [NAMES[row["tool"]]]
        if "median" in row:
            cells += [f"{row['median'][kind]:,.0f}" for kind in KINDS]
            ratios = row.get("dope_is_faster", {})
            cells += [f"{ratios[kind]:.1f} x" if kind in ratios else "" for kind in KINDS]
        else:
            cells += [""] * 4
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(made: dict[str, Any]) -> None:
    """Write the JSON, and the table between its marks."""
    (HERE / "trees.json").write_text(json.dumps(made, indent=1) + "\n")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    if rest:
        text = f"{before}{MARKS[0]}\n{page(made['rows'])}\n{MARKS[1]}{after}"
        PAGE.write_text(text, encoding="utf-8")
    else:
        say(f"{PAGE} has no {MARKS[0]}: the table was not written there")


def interpreters(given: argparse.Namespace, folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """The interpreter of each tool that can be measured; versions, threads and environment."""
    try:
        about = child([sys.executable, "-c", ABOUT_DOPE], folder)
    except Failed as error:
        raise SystemExit(f"dope does not start here: {error}") from None
    wanted = [tool for tool in TOOLS if tool in given.tools]
    torch = given.torch or os.environ.get("DOPE_TORCH_PYTHON")
    if any(tool.startswith("torch") for tool in wanted):
        try:
            if not torch:
                raise Failed("give --torch PYTHON or DOPE_TORCH_PYTHON")
            about["versions"] |= child([torch, "-c", ABOUT_TORCH], folder)
        except Failed as error:
            say(f"PyTorch is left out: {error}")
            wanted = [tool for tool in wanted if not tool.startswith("torch")]
    about["versions"]["python"] = platform.python_version()
    return {t: str(torch) if t.startswith("torch") else sys.executable for t in wanted}, about


def arguments(words: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--torch", metavar="PYTHON", help="python that has PyTorch (else DOPE_TORCH_PYTHON)")
    add("--data", type=Path, metavar="DIR", help="SICK: folders train and dev (else made up)")
    add("--rounds", type=int, default=5, help="times that each tool is measured (5)")
    add("--seconds", type=float, default=5.0, help="seconds of training, and evaluation, each (5)")
    add(
        "--tools", nargs="+", choices=TOOLS, default=list(TOOLS), metavar="TOOL", help=str([*TOOLS])
    )
    add("--no-write", action="store_true", help="print only")
    given = parser.parse_args(words)
    if given.rounds < 1 or given.seconds <= 0:
        parser.error("--rounds is at least 1 and --seconds above 0")
    if given.data and not (given.data / "train").is_dir():
        parser.error(f"{given.data} has no folder train")
    return given


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = given.data
        if data is None:
            data = folder / "pairs"
            data.mkdir()
            write_pairs(data, *MADE_UP)
        try:
            made: dict[str, Any] = {
                "machine": machine(),
                "data": "SICK" if given.data else "made up",
            }
            pythons, about = interpreters(given, folder)
            made |= {**about, "rounds": given.rounds, "seconds": given.seconds}
            answers = rounds_of(given, pythons, about["threads"], data.resolve(), folder)
        except KeyboardInterrupt:
            say("interrupted: nothing was written")
            return 130
    made["rows"] = rows_of(answers)
    print(page(made["rows"]))
    if given.no_write:
        return 0
    if set(pythons) != set(TOOLS):
        say("not written: the page takes all tools of one run (no --tools)")
        return 0
    write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
