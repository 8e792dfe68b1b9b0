"""How fast the image classifiers train: dope, the book's loop, bare MXNet and PyTorch in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/classifiers.py --torch PATH/TO/ITS/python
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from cases import CASES, Case
from images import write_images
from program import Program


def write(folder: Path, case: Case, given: argparse.Namespace) -> None:
    """Images of MNIST's shape."""
    write_images(folder, 2 * case.batch if given.small else case.images)


PROGRAM = Program(
    name="classifiers",
    about=__doc__,
    cases=CASES,
    tools={
        "book": "book_loop.py",
        "bare": "bare_loop.py",
        "bare_flat": "bare_loop.py",
        "dope": "dope_loop.py",
        "torch_eager": "torch_loop.py",
        "torch_compiled": "torch_loop.py",
    },
    ratios=[("dope", t) for t in ("torch_eager", "torch_compiled", "book", "bare", "bare_flat")],
    unit="samples",
    write=write,
)

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
