"""What is measured: pairs of trees in files, sizes of the model, and the clock; for all tools.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

HIDDEN, DIM, SIMILARITY, GRADES = 150, 300, 50, 5
BATCH, LEARNING_RATE, DECAY = 25, 0.05, 1e-4
WORDS = 2173  # different words of the made-up pairs; SICK has as many


class Sentence(NamedTuple):
    """Numbers of words (from 1), children of each word, and the place of the root."""

    words: list[int]
    children: list[list[int]]
    root: int


class Pair(NamedTuple):
    """Two sentences, and the target distribution over the grades."""

    left: Sentence
    right: Sentence
    target: list[float]


def write_pairs(folder: Path, train: int, dev: int) -> None:
    """Write made-up pairs as folders in SICK's form, of about the lengths and depths of SICK's."""
    rng = random.Random(0)
    words = [f"w{i}" for i in range(WORDS)]
    weights = [1 / (i + 3) for i in range(WORDS)]
    for part, count in (("train", train), ("dev", dev)):
        (folder / part).mkdir()
        for side in "ab":
            tokens, parents = [], []
            for _ in range(count):
                n = max(3, min(30, round(rng.gauss(9.7, 3.2))))
                heads = [0] + [1 + rng.randrange(max(0, i - 5), i) for i in range(1, n)]
                tokens.append(" ".join(rng.choices(words, weights, k=n)))
                parents.append(" ".join(map(str, heads)))
            (folder / part / f"{side}.toks").write_text("\n".join(tokens) + "\n")
            (folder / part / f"{side}.parents").write_text("\n".join(parents) + "\n")
        scores = [f"{rng.uniform(1, 5):.1f}" for _ in range(count)]
        (folder / part / "sim.txt").write_text("\n".join(scores) + "\n")


def read(folder: Path) -> tuple[list[Pair], list[Pair], int]:
    """Pairs for training and evaluation, and the number of words, with that for unknown ones."""
    index: dict[str, int] = {}
    parts = []
    for part in ("train", "dev"):
        sides = []
        for side in "ab":
            lines = (folder / part / f"{side}.toks").read_text().splitlines()
            above = (folder / part / f"{side}.parents").read_text().splitlines()
            made = []
            for line, heads in zip(lines, above):
                words = line.lower().split()
                if part == "train":
                    for word in words:
                        index.setdefault(word, len(index) + 1)
                children: list[list[int]] = [[] for _ in words]
                root = 0
                for place, head in enumerate(map(int, heads.split())):
                    if head:
                        children[head - 1].append(place)
                    else:
                        root = place
                made.append(Sentence([index.get(w, 0) for w in words], children, root))
            sides.append(made)
        scores = map(float, (folder / part / "sim.txt").read_text().split())
        parts.append([Pair(a, b, _target(score)) for a, b, score in zip(*sides, scores)])
    return parts[0], parts[1], len(index) + 1


def _target(score: float) -> list[float]:
    return [max(0.0, 1 - abs(grade - score)) for grade in range(1, GRADES + 1)]


def batches(pairs: list[Pair]) -> Iterator[list[Pair]]:
    """Whole minibatches in ever new orders; endless."""
    rng = random.Random(1)
    while True:
        rng.shuffle(pairs)
        for start in range(0, len(pairs) - BATCH + 1, BATCH):
            yield pairs[start : start + BATCH]


def arguments() -> argparse.Namespace:
    """What the parent says: tool, folder of the pairs, seconds, threads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def rate(steps: Iterator[int], seconds: float, finish: Callable[[], Any]) -> float:
    """Pairs a second over about ``seconds``, after a third of that to warm up.

    Parameters
    ----------
    steps
        Does one step at each ``next`` and gives its number of pairs; endless.
    seconds
        How long to measure.
    finish
        Waits until all steps are computed.
    """
    for limit in (seconds / 3, seconds):
        pairs, began = 0, time.perf_counter()
        while time.perf_counter() - began < limit:
            pairs += next(steps)
        finish()
        found = pairs / (time.perf_counter() - began)
    return found


def answer(**found: Any) -> None:
    """Print what the parent reads: one line of JSON."""
    print(json.dumps(found), flush=True)
