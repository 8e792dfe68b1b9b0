"""How fast generative models train: dope, the book's loop and PyTorch in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/generative.py --torch PATH/TO/ITS/python

PyTorch needs an environment of its own (benchmarks/README.md); without one it is left out. Results
go to ``benchmarks/generative.json`` and into ``docs/performance.md``. A new case is a line in
``generative/cases.py``, two loops ``MODEL_book.py`` and ``MODEL_torch.py``, and what dope is told,
in ``dope_loop.py``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

HERE = Path(__file__).resolve().parent
LOOPS = HERE / "generative"
TOOLS = ("book", "dope", "torch_eager", "torch_compiled")
RATIOS = [("dope", "torch_eager"), ("dope", "torch_compiled"), ("dope", "book")]

sys.path[:0] = [str(HERE), str(LOOPS)]
import turns  # noqa: E402
from cases import CASES  # noqa: E402


def answers_of(
    given: argparse.Namespace, pythons: dict[str, str], threads: int, folder: Path
) -> turns.Answers:
    """Answers by case and tool."""

    def measure(case: str, tool: str) -> dict[str, Any]:
        known = CASES[case]
        library = tool.partition("_")[0]
        loop = LOOPS / ("dope_loop.py" if tool == "dope" else f"{known.model}_{library}.py")
        size = known.of_book if tool == "book" and known.of_book else known.parameters
        told = {"case": case, "tool": tool, "seconds": given.seconds, "threads": threads}
        return turns.measured(pythons[tool], loop, told, folder, size)

    plan = {case: list(pythons) for case in given.only}
    return turns.in_turn(plan, given.rounds, measure, lambda found: f"{found['rate']:>10,.0f} /s")


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
    given = arguments()
    whole = set(given.only) == set(CASES) and set(given.tools) == set(TOOLS)
    with tempfile.TemporaryDirectory() as folder:
        return turns.run(
            "generative",
            given,
            lambda pythons, threads: answers_of(given, pythons, threads, Path(folder)),
            rows_of,
            page,
            whole,
        )


if __name__ == "__main__":
    sys.exit(main())
