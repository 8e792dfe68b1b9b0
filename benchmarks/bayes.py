"""How fast Bayes by Backprop trains: dope, the book's loop and PyTorch in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/bayes.py --torch PATH/TO/ITS/python
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from cases import BATCH, CASES, Case
from images import write_images
from program import Program


def write(folder: Path, case: Case, given: argparse.Namespace) -> None:
    """Images of MNIST's shape."""
    write_images(folder, (2 if given.small else 63) * BATCH)


PROGRAM = Program(
    name="bayes",
    about=__doc__,
    cases=CASES,
    tools={
        "book": "book_loop.py",
        "dope": "dope_loop.py",
        "torch_eager": "torch_loop.py",
        "torch_compiled": "torch_loop.py",
    },
    ratios=[("dope", "torch_eager"), ("dope", "torch_compiled"), ("dope", "book")],
    unit="samples",
    write=write,
    lacks=lambda case, tool: tool == "book" and case.local,  # it draws weights only
)

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
