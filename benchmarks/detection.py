"""How fast a detector trains and finds boxes: dope, the book's loop and PyTorch in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/detection.py --torch PATH/TO/ITS/python
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from cases import CASES, Case, write_scenes
from program import Program


def write(folder: Path, case: Case, given: argparse.Namespace) -> None:
    """Images with rectangles, and where these are."""
    write_scenes(folder, case, case.batch if given.small else case.images)


PROGRAM = Program(
    name="detection",
    about=__doc__,
    cases=CASES,
    tools={
        "book": "book_loop.py",
        "dope": "dope_loop.py",
        "torch_eager": "torch_loop.py",
    },
    ratios=[("dope", "torch_eager"), ("dope", "book")],
    unit="images",
    write=write,
    parameters=lambda case, tool, _: case.of_book if tool == "book" else case.parameters,
)

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
