"""How fast language models train: dope, the book's loop and PyTorch in turn, symbols a second.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/language.py --torch PATH/TO/ITS/python
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from corpora import CASES, Case, write_text
from program import Program


def write(folder: Path, case: Case, given: argparse.Namespace) -> None:
    """A text of the case's symbols."""
    write_text(folder, case.shortened() if given.small else case)


PROGRAM = Program(
    name="language",
    about=__doc__,
    cases=CASES,
    tools={
        "book": "book_loop.py",
        "dope_scratch": "dope_loop.py",
        "dope": "dope_loop.py",
        "torch_eager": "torch_loop.py",
        "torch_compiled": "torch_loop.py",
    },
    ratios=[
        ("dope", "torch_eager"),
        ("dope", "torch_compiled"),
        ("dope", "book"),
        ("dope_scratch", "book"),
    ],
    unit="symbols",
    write=write,
    lacks=lambda case, tool: tool == "dope_scratch" and case.words,
)

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
