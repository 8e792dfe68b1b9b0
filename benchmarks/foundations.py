"""How fast a line is fitted in small batches: dope, the book's loop and PyTorch in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/foundations.py --torch PATH/TO/ITS/python
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from cases import CASES, Case, write_points
from program import Program


def write(folder: Path, case: Case, given: argparse.Namespace) -> None:
    """Points of the book's plane."""
    write_points(folder, 2 * case.batch if given.small else case.examples)


PROGRAM = Program(
    name="foundations",
    about=__doc__,
    cases=CASES,
    tools={"book": "book_loop.py", "dope": "dope_loop.py", "torch_eager": "torch_loop.py"},
    ratios=[("dope", "torch_eager"), ("dope", "book")],
    unit="steps",
    write=write,
)

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
