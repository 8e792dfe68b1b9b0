"""How fast Bayes by Backprop trains: dope, the book's loop and PyTorch in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/bayes.py --torch PATH/TO/ITS/python

PyTorch needs an environment of its own (benchmarks/README.md); without one it is left out. Results
go to ``benchmarks/bayes.json`` and into ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

HERE = Path(__file__).resolve().parent
LOOPS = HERE / "bayes"
TOOLS = ("book", "dope", "torch_eager", "torch_compiled")
RATIOS = [("dope", "torch_eager"), ("dope", "torch_compiled"), ("dope", "book")]

sys.path[:0] = [str(HERE), str(LOOPS)]
import turns  # noqa: E402
from cases import CASES, PARAMETERS, write_images  # noqa: E402


def answers_of(
    given: argparse.Namespace, pythons: dict[str, str], threads: int, folder: Path
) -> turns.Answers:
    """Answers by case and tool."""
    write_images(folder, 1280 if given.small else 8064)
    threads = 1 if given.small else threads

    def measure(case: str, tool: str) -> dict[str, Any]:
        loop = LOOPS / f"{tool.partition('_')[0]}_loop.py"
        told = {"case": case, "tool": tool, "images": folder, "seconds": given.seconds}
        told["threads"] = threads
        return turns.measured(pythons[tool], loop, told, folder, PARAMETERS, given.small)

    # The book has no way to draw outputs in place of weights.
    plan = {
        case: [t for t in pythons if t != "book" or not CASES[case].local] for case in given.only
    }
    return turns.in_turn(plan, given.rounds, measure, lambda f: f"{f['rate']:>10,.0f} samples/s")


def rows_of(answers: turns.Answers) -> list[dict[str, Any]]:
    """One row a case: median rate of each tool, all rounds, and ratios."""
    return turns.rows_of(answers, "rate", RATIOS)


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
    """Measure and write."""
    given = arguments()
    whole = set(given.only) == set(CASES) and set(given.tools) == set(TOOLS)
    with tempfile.TemporaryDirectory() as folder:
        return turns.run(
            "bayes",
            given,
            lambda pythons, threads: answers_of(given, pythons, threads, Path(folder)),
            rows_of,
            page,
            whole,
        )


if __name__ == "__main__":
    sys.exit(main())
