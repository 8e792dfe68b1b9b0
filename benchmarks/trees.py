"""How fast Tree-LSTMs train and evaluate: dope by depth and by recursion, PyTorch, the book.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/trees.py --torch PATH/TO/ITS/python --data PATH/TO/sick

PyTorch needs an environment of its own (benchmarks/README.md); without one it is left out. Without
SICK the pairs are made up, of about the same lengths. Results go to ``benchmarks/trees.json`` and
into ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

HERE = Path(__file__).resolve().parent
LOOPS = HERE / "trees"
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
CASE = "tree-lstm"
MADE_UP = (4500, 500)  # pairs for training and evaluation
SMALL = (50, 25)

sys.path[:0] = [str(HERE), str(LOOPS)]
import turns  # noqa: E402
from pairs import DIM, GRADES, HIDDEN, SIMILARITY, read, write_pairs  # noqa: E402


def parameters(words: int) -> int:
    """Learned numbers of the model with so many words."""
    cell = 4 * HIDDEN * (DIM + 1) + 4 * HIDDEN * HIDDEN
    return words * DIM + cell + SIMILARITY * (2 * HIDDEN + 1) + GRADES * (SIMILARITY + 1)


def answers_of(
    given: argparse.Namespace, pythons: dict[str, str], threads: int, data: Path, folder: Path
) -> turns.Answers:
    """Answers by tool, for the one case."""
    size = parameters(read(data)[2])

    def measure(case: str, tool: str) -> dict[str, Any]:
        told = {"tool": tool, "pairs": data, "seconds": given.seconds, "threads": threads}
        return turns.measured(pythons[tool], LOOPS / TOOLS[tool], told, folder, size, given.small)

    def told(found: dict[str, Any]) -> str:
        rates = [f"{found[f'{kind}_pairs_per_s']:>8,.1f}" for kind in KINDS]
        return f"{rates[0]} pairs/s training, {rates[1]} evaluation"

    return turns.in_turn({CASE: list(pythons)}, given.rounds, measure, told)


def rows_of(answers: turns.Answers) -> list[dict[str, Any]]:
    """One row a tool: median pairs/s of both kinds, all rounds, and dope's ratio to it."""
    rows: list[dict[str, Any]] = []
    for tool, found in answers[CASE].items():
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


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The table as Markdown."""
    heads = ["pairs/s", *KINDS.values(), *(f"dope by depth, {kind}" for kind in KINDS.values())]
    lines = []
    for row in rows:
        cells = [""] * 4
        if "median" in row:
            ratios = row.get("dope_is_faster", {})
            cells = [f"{row['median'][kind]:,.0f}" for kind in KINDS]
            cells += [f"{ratios[kind]:.1f} x" if kind in ratios else "" for kind in KINDS]
        lines.append([NAMES[row["tool"]], *cells])
    return turns.table(heads, lines)


def arguments(words: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The options."""
    parser = turns.parser(__doc__.splitlines()[0], list(TOOLS), seconds=5.0)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="SICK: folders train and dev (else made up)"
    )
    given = turns.parsed(parser, words)
    if given.data and not (given.data / "train").is_dir():
        parser.error(f"{given.data} has no folder train")
    return given


def main() -> int:
    given = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = given.data
        if data is None:
            data = folder / "pairs"
            data.mkdir()
            write_pairs(data, *(SMALL if given.small else MADE_UP))
        return turns.run(
            "trees",
            given,
            lambda pythons, threads: answers_of(given, pythons, threads, data.resolve(), folder),
            rows_of,
            page,
            set(given.tools) == set(TOOLS),
            data="SICK" if given.data else "made up",
        )


if __name__ == "__main__":
    sys.exit(main())
