"""What is measured: models, batch sizes, made-up data, and the clock; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np

SEED = 0


@dataclass(frozen=True)
class Case:
    """One pair of networks at one batch size.

    Parameters
    ----------
    model
        ``MODEL_book.py`` and ``MODEL_torch.py`` spell it out; ``dope_loop.py`` has all.
    batch
        Examples a step. A step is an update of the discriminator and one of the generator.
    examples
        Examples an epoch: a second or so of work, and a multiple of ``batch``, so that no tool
        gains by how it treats a smaller last batch.
    counted
        What a step counts for in the figures: 1 for steps a second, ``batch`` for examples.
    parameters
        Learned numbers of both networks. A tool with another count runs another model.
    of_book
        The same in the book's own loop, where it differs.
    """

    model: str
    batch: int
    examples: int
    counted: int
    parameters: int
    of_book: Optional[int] = None


CASES = {
    # 2-2 against 2-5-3-1; the book's discriminator has two outputs
    "gan-4": Case("gan", 4, 8000, 1, 43, 47),
    "gan-100": Case("gan", 100, 100000, 1, 43, 47),
    "dcgan-64": Case("dcgan", 64, 256, 64, 6_342_272),
    # the book's first and middle convolution have no bias
    "pix2pix-128": Case("pix2pix", 4, 8, 4, 44_598_276, 44_597_700),
}


def points(count: int) -> np.ndarray:
    """Points of the book's Gaussian, float32 (count, 2)."""
    rng = np.random.default_rng(SEED)
    drawn = rng.standard_normal((count, 2)) @ [[1.0, 2.0], [-0.1, 0.5]] + [1.0, 2.0]
    return drawn.astype(np.float32)


def pictures(count: int) -> np.ndarray:
    """Images of 64 x 64 pixels, float32 (count, 3, 64, 64) between -1 and 1: coloured squares."""
    rng = np.random.default_rng(SEED)
    drawn = rng.uniform(-1, 1, (count, 3, 8, 8)).repeat(8, axis=2).repeat(8, axis=3)
    return drawn.astype(np.float32)


def pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of 128 x 128 pixels, float32 (count, 3, 128, 128): the same, darker."""
    inputs = pictures(count).repeat(2, axis=2).repeat(2, axis=3)
    return inputs, 0.5 * inputs - 0.25


def arguments() -> argparse.Namespace:
    """What the parent says: case, tool, seconds, threads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def rate(steps: Iterator[int], seconds: float, finish: Callable[[], Any]) -> dict[str, float]:
    """What steps count for a second over about ``seconds``, after a third of that to warm up.

    Parameters
    ----------
    steps
        Does one step of training at each ``next`` and gives what it counts for; endless.
    seconds
        How long to measure.
    finish
        Waits until all steps are computed.
    """
    for limit in (seconds / 3, seconds):
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < limit:
            done += next(steps)
        finish()
        took = time.perf_counter() - began
    return {"rate": done / took, "done": done, "seconds": took}


def answer(**found: Any) -> None:
    """Print what the parent reads: one line of JSON."""
    print(json.dumps(found), flush=True)
