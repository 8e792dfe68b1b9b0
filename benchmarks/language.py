"""How fast language models train: dope, the book's loop and PyTorch in turn, symbols a second.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/language.py --torch PATH/TO/ITS/python

PyTorch needs an environment of its own (benchmarks/README.md); without one it is left out. Results
go to ``benchmarks/language.json`` and into ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

HERE = Path(__file__).resolve().parent
LOOPS = HERE / "language"
TOOLS = {
    "book": "book_loop.py",
    "dope_scratch": "dope_loop.py",
    "dope": "dope_loop.py",
    "torch_eager": "torch_loop.py",
    "torch_compiled": "torch_loop.py",
}
RATIOS = [
    ("dope", "torch_eager"),
    ("dope", "torch_compiled"),
    ("dope", "book"),
    ("dope_scratch", "book"),
]

sys.path[:0] = [str(HERE), str(LOOPS)]
import turns  # noqa: E402
from corpora import CASES, write_text  # noqa: E402


def answers_of(
    given: argparse.Namespace, pythons: dict[str, str], threads: int, folder: Path
) -> turns.Answers:
    """Answers by case and tool."""
    for case in given.only:
        (folder / case).mkdir()
        write_text(folder / case, CASES[case].shortened() if given.small else CASES[case])

    def measure(case: str, tool: str) -> dict[str, Any]:
        told = {"case": case, "tool": tool, "text": folder / case}
        told |= {"seconds": given.seconds, "threads": threads}
        size = CASES[case].parameters
        return turns.measured(pythons[tool], LOOPS / TOOLS[tool], told, folder, size, given.small)

    # words have no layers from scratch
    plan = {
        case: [t for t in pythons if not (CASES[case].words and t == "dope_scratch")]
        for case in given.only
    }
    return turns.in_turn(
        plan, given.rounds, measure, lambda found: f"{found['tokens_per_s']:>10,.0f} symbols/s"
    )


def rows_of(answers: turns.Answers) -> list[dict[str, Any]]:
    """One row a case: median symbols/s of each tool, all rounds, and ratios."""
    return turns.rows_of(answers, "tokens_per_s", RATIOS)


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
            "language",
            given,
            lambda pythons, threads: answers_of(given, pythons, threads, Path(folder)),
            rows_of,
            page,
            whole,
        )


if __name__ == "__main__":
    sys.exit(main())
