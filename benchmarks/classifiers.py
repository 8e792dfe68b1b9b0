"""How fast the image classifiers train: dope, the book's loop, bare MXNet and PyTorch in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/classifiers.py --torch PATH/TO/ITS/python

PyTorch needs an environment of its own (benchmarks/README.md); without one it is left out. Results
go to ``benchmarks/classifiers.json`` and into ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

HERE = Path(__file__).resolve().parent
LOOPS = HERE / "classifiers"
TOOLS = {
    "book": "book_loop.py",
    "bare": "bare_loop.py",
    "bare_flat": "bare_loop.py",
    "dope": "dope_loop.py",
    "torch_eager": "torch_loop.py",
    "torch_compiled": "torch_loop.py",
}
RATIOS = [("dope", t) for t in ("torch_eager", "torch_compiled", "book", "bare", "bare_flat")]

sys.path[:0] = [str(HERE), str(LOOPS)]
import turns  # noqa: E402
from cases import CASES, write_images  # noqa: E402


def answers_of(
    given: argparse.Namespace, pythons: dict[str, str], threads: int, folder: Path
) -> turns.Answers:
    """Answers by case and tool."""
    for case in given.only:
        (folder / case).mkdir()
        images = 2 * CASES[case].batch if given.small else CASES[case].images
        write_images(folder / case, images)

    def measure(case: str, tool: str) -> dict[str, Any]:
        told = {"case": case, "tool": tool, "images": folder / case}
        told |= {"seconds": given.seconds, "threads": threads}
        size = CASES[case].parameters
        return turns.measured(pythons[tool], LOOPS / TOOLS[tool], told, folder, size, given.small)

    plan = {case: list(pythons) for case in given.only}
    return turns.in_turn(
        plan, given.rounds, measure, lambda found: f"{found['examples_per_s']:>10,.0f} samples/s"
    )


def rows_of(answers: turns.Answers) -> list[dict[str, Any]]:
    """One row a case: median samples/s of each tool, all rounds, ratios of dope to the others."""
    rows = turns.rows_of(answers, "examples_per_s", RATIOS)
    return [{**row, "batch": CASES[row["case"]].batch} for row in rows]


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The table as Markdown."""
    return turns.page_of(rows, list(TOOLS), RATIOS)


def arguments(words: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The options."""
    parser = turns.parser(__doc__.splitlines()[0], list(TOOLS), seconds=3.0)
    cases = list(CASES)
    parser.add_argument(
        "--only", nargs="+", choices=cases, default=cases, metavar="CASE", help=str(cases)
    )
    return turns.parsed(parser, words)


def main() -> int:
    given = arguments()
    whole = set(given.only) == set(CASES) and set(given.tools) == set(TOOLS)
    with tempfile.TemporaryDirectory() as folder:
        return turns.run(
            "classifiers",
            given,
            lambda pythons, threads: answers_of(given, pythons, threads, Path(folder)),
            rows_of,
            page,
            whole,
        )


if __name__ == "__main__":
    sys.exit(main())
