"""What is measured: models, batches and made-up texts; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

LEARNING_RATE = 1.0
CHARACTERS = string.ascii_letters + string.digits + ".,;:!?'\"()- \n_*"  # 77
SEED = 0


@dataclass(frozen=True)
class Case:
    """One model on one text.

    Parameters
    ----------
    cell
        ``lstm`` or ``gru``.
    words
        Whether the symbols are words: embedded, and not one-hot.
    symbols
        V, how many there are.
    hidden, layers, dropout
        Of the model; a word is embedded in ``hidden`` units.
    streams, steps
        Shape of a batch: streams side by side, steps of each.
    batches
        Batches of an epoch: about a second of work, for what comes at an epoch's end counts too.
    """

    cell: str
    words: bool
    symbols: int
    hidden: int
    layers: int
    dropout: float
    streams: int
    steps: int
    batches: int

    @property
    def length(self) -> int:
        """Symbols of the text: whole batches and one target more."""
        return self.streams * self.steps * self.batches + 1

    def shortened(self) -> Case:
        """The same with as few batches as hold every symbol once."""
        return replace(self, batches=1 + self.symbols // (self.streams * self.steps))

    @property
    def parameters(self) -> int:
        """Learned numbers, with two biases for each gate as the fused layers of all tools have."""
        gates, units = {"lstm": 4, "gru": 3}[self.cell], self.hidden
        first = units if self.words else self.symbols
        layers = sum(
            gates * units * ((first if i == 0 else units) + units + 2) for i in range(self.layers)
        )
        return layers + (units + 1) * self.symbols + (self.symbols * units if self.words else 0)


CASES = {
    "char-lstm": Case("lstm", False, len(CHARACTERS), 256, 1, 0.0, 32, 64, 40),
    "char-gru": Case("gru", False, len(CHARACTERS), 256, 1, 0.0, 32, 64, 40),
    "word-lstm": Case("lstm", True, 10000, 200, 2, 0.2, 32, 35, 20),
}


def write_text(folder: Path, case: Case) -> None:
    """Write a made-up text as numbers (``ids.npy``), and as dope reads it.

    Each symbol is followed by one of few, so the loss falls.
    """
    rng = np.random.default_rng(SEED)
    known = case.symbols - 2 if case.words else case.symbols  # <unk> and <eos> come by themselves
    each = case.length - 1 if case.words else case.length
    likely = rng.integers(0, known, (known, 4))
    ids = list(rng.permutation(known))  # every symbol once
    choices = rng.integers(0, 4, each)
    while len(ids) < each:
        ids.append(likely[ids[-1], choices[len(ids)]])
    if case.words:
        text = " ".join(f"w{i}" for i in ids) + "\n"
        for part in ("train", "valid", "test"):
            (folder / f"ptb.{part}.txt").write_text(text if part == "train" else "w0 w1\n")
        ids.append(known)
    else:
        (folder / "text.txt").write_text("".join(CHARACTERS[i] for i in ids))
    np.save(folder / "ids.npy", np.array(ids, np.int64))


def batches_of(folder: Path, case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and targets of an epoch, int64 (steps, streams) each, streams in order."""
    ids = np.load(folder / "ids.npy")
    inputs, targets = (each.reshape(case.streams, -1).T for each in (ids[:-1], ids[1:]))
    cuts = range(0, len(inputs), case.steps)
    return [(inputs[i : i + case.steps], targets[i : i + case.steps]) for i in cuts]
