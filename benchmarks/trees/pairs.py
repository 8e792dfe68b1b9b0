"""What is measured: pairs of trees in files, and sizes of the model; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HIDDEN, DIM, SIMILARITY, GRADES = 150, 300, 50, 5
BATCH, LEARNING_RATE, DECAY = 25, 0.05, 1e-4
CASES = {"training": "train", "evaluation": "dev"}  # and the pairs that each goes through
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


def parameters(words: int) -> int:
    """Learned numbers of the model with so many words."""
    cell = 4 * HIDDEN * (DIM + 1) + 4 * HIDDEN * HIDDEN
    return words * DIM + cell + SIMILARITY * (2 * HIDDEN + 1) + GRADES * (SIMILARITY + 1)


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
