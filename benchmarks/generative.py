"""How fast generative models train: dope, the book's loop and PyTorch in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/generative.py --torch PATH/TO/ITS/python
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from cases import CASES, Case, write_examples
from program import Program


def write(folder: Path, case: Case, given: argparse.Namespace) -> None:
    """Points or images."""
    write_examples(folder, case, 2 * case.batch if given.small else case.examples)


PROGRAM = Program(
    name="generative",
    about=__doc__,
    cases=CASES,
    tools={
        "book": "{case.model}_book.py",
        "dope": "dope_loop.py",
        "torch_eager": "{case.model}_torch.py",
        "torch_compiled": "{case.model}_torch.py",
    },
    ratios=[("dope", "torch_eager"), ("dope", "torch_compiled"), ("dope", "book")],
    unit="steps or images",
    write=write,
    parameters=lambda case, tool, _: (tool == "book" and case.of_book) or case.parameters,
)

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
