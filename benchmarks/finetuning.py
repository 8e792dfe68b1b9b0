"""How fast SqueezeNet 1.1 is fine-tuned: dope, the book's loop and PyTorch in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/finetuning.py --torch PATH/TO/ITS/python
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from cases import CASES, Case, write_photos
from program import Program


def write(folder: Path, case: Case, given: argparse.Namespace) -> None:
    """Images of two classes, as files and as an array."""
    write_photos(folder, case, case.batch if given.small else case.images)


PROGRAM = Program(
    name="finetuning",
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
)

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
