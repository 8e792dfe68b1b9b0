"""How fast questions about images are learned: dope, the book's loop and PyTorch in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/vqa.py --torch PATH/TO/ITS/python
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from cases import CASES, Case, write_features
from program import Program


def write(folder: Path, case: Case, given: argparse.Namespace) -> None:
    """Features in the form of the book's files."""
    write_features(folder, case, (2 if given.small else case.batches) * case.batch)


PROGRAM = Program(
    name="vqa",
    about=__doc__,
    cases=CASES,
    tools={"book": "book_loop.py", "dope": "dope_loop.py", "torch_eager": "torch_loop.py"},
    ratios=[("dope", "torch_eager"), ("dope", "book")],
    unit="questions",
    write=write,
    lacks=lambda case, tool: tool == "book" and case.sketch > 0,  # its pooling needs a GPU
)

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
