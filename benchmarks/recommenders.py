"""How fast matrix factorization learns: dope, PyTorch and scikit-surprise in turn.

Not part of the test suite. Run it alone, on a quiet machine::

    DOPE_SURPRISE_PYTHON=PATH/TO/ITS/python python benchmarks/recommenders.py --torch PATH/TO/ITS
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from cases import CASES, Case, write_ratings
from program import Program


def write(folder: Path, case: Case, given: argparse.Namespace) -> None:
    """Ratings of the sizes of MovieLens."""
    write_ratings(folder, case)


PROGRAM = Program(
    name="recommenders",
    about=__doc__,
    cases=CASES,
    tools={
        "surprise": "surprise_loop.py",
        "dope": "dope_loop.py",
        "torch_eager": "torch_loop.py",
        "torch_sparse": "torch_loop.py",
    },
    ratios=[("dope", tool) for tool in ("torch_eager", "torch_sparse", "surprise")],
    unit="ratings",
    write=write,
    lacks=lambda case, tool: tool == "surprise" and case.optimizer != "sgd",
)

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
