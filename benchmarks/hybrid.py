"""What compiling a network brings: dope and plain Gluon with and without, and PyTorch, in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/hybrid.py --torch PATH/TO/ITS/python
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from cases import CASES, Case, write_examples
from program import Program


def write(folder: Path, case: Case, given: argparse.Namespace) -> None:
    """Examples of two classes."""
    write_examples(folder, 2 * case.batch if given.small else case.examples)


PROGRAM = Program(
    name="hybrid",
    about=__doc__,
    cases=CASES,
    tools={
        "book": "book_loop.py",
        "book_hybrid": "book_loop.py",
        "dope_imperative": "dope_loop.py",
        "dope": "dope_loop.py",
        "torch_eager": "torch_loop.py",
    },
    ratios=[("book_hybrid", "book"), ("dope", "dope_imperative"), ("dope", "torch_eager")],
    unit="passes",
    write=write,
)

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
