"""How fast Tree-LSTMs train and evaluate: dope by depth and by recursion, PyTorch, the book.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/trees.py --torch PATH/TO/ITS/python --data PATH/TO/sick
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from pairs import CASES, parameters, read, write_pairs
from program import Program


def write(folder: Path, case: str, given: argparse.Namespace) -> None:
    """SICK, or pairs of about the same lengths."""
    if given.data is None:
        write_pairs(folder, *((50, 25) if given.small else (4500, 500)))
        return
    for part in ("train", "dev"):
        if not (given.data / part).is_dir():
            raise SystemExit(f"{given.data} has no folder {part}")
        (folder / part).symlink_to((given.data / part).resolve())


PROGRAM = Program(
    name="trees",
    about=__doc__,
    cases=CASES,
    tools={
        "book": "book_loop.py",
        "dope_recursion": "dope_loop.py",
        "dope": "dope_loop.py",
        "torch_one": "torch_loop.py",
        "torch_all": "torch_loop.py",
    },
    ratios=[("dope", tool) for tool in ("torch_one", "torch_all", "book", "dope_recursion")],
    unit="pairs",
    write=write,
    parameters=lambda case, tool, folder: parameters(read(folder)[2]),
    seconds=5.0,
    data="SICK: folders train and dev (else pairs are made up)",
)

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
