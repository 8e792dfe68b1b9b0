"""Pairs of parsed sentences with a score of likeness: SICK's folders, and your CoNLL-U files.

Holds data sets; trees are read in trees.py, and generated pairs are made in grammar.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from dope.core.backend import nd
from dope.core.errors import ConfigError, DataError, DopeError
from dope.plugins.nlp.trees import (
    Sentence,
    Tree,
    aligned,
    from_text,
    read_conllu,
    read_heads,
    read_lines,
)

GRADES = 5  # a score is a number from 1 to this
PARTS = {"train": ("train",), "valid": ("valid", "dev", "trial"), "test": ("test",)}
FILES = ("a.toks", "b.toks", "a.parents", "b.parents", "sim.txt")
SCORE = "similarity"  # the comment that holds it in a CoNLL-U file


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sentences and how alike they are, from 1 to 5; nan where nobody knows."""

    left: Tree
    right: Tree
    score: float = math.nan


class PairBatches:
    """Minibatches ``(pairs, target)``: a list of n pairs, and their distributions (n, 5).

    Parameters
    ----------
    pairs
        The examples.
    batch_size
        Pairs in a minibatch; None means all of them.
    shuffle
        Draw a new order each epoch.
    """

    def __init__(self, pairs: Sequence[Pair], batch_size: Optional[int], *, shuffle: bool) -> None:
        self.pairs, self.shuffle = pairs, shuffle
        self.batch_size = min(batch_size or len(pairs), len(pairs))
        self.targets = distributions(np.array([pair.score for pair in pairs]))

    def __len__(self) -> int:
        return -(-len(self.pairs) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[list[Pair], Any]]:
        return self.epoch()

    def epoch(
        self, rng: Optional[np.random.Generator] = None, skip: int = 0
    ) -> Iterator[tuple[list[Pair], Any]]:
        """The minibatches of one epoch in the order that ``rng`` gives, from ``skip`` on."""
        order = np.arange(len(self.pairs))
        if self.shuffle and rng is not None:
            rng.shuffle(order)
        targets = nd.array(self.targets[order])  # uploaded together
        places = order.tolist()
        for start in range(skip * self.batch_size, len(order), self.batch_size):
            end = min(start + self.batch_size, len(order))
            yield [self.pairs[i] for i in places[start:end]], targets[start:end]


def distributions(scores: np.ndarray) -> np.ndarray:
    """Scores y (n,) as distributions over 1 to 5 of mean y, on the grades next to it: (n, 5).

    Parameters
    ----------
    scores
        From 1 to 5; nan becomes 1/5 each.

    Notes
    -----
    Tai et al. (2015), the unnumbered equation before 16.
    """
    grades = np.arange(1, GRADES + 1)
    target = np.maximum(0, 1 - np.abs(grades - np.asarray(scores, float)[:, None]))
    target[np.isnan(target)] = 1 / GRADES
    return target.astype(np.float32)


class PairSet:
    """Base of data sets of pairs.

    Parameters
    ----------
    lower
        Put all words into lower case.
    train
        Use only the first so many pairs of training; null uses all.
    """

    classes = tuple(str(grade) for grade in range(1, GRADES + 1))

    def __init__(self, *, lower: bool = True, train: Optional[int] = None) -> None:
        if train is not None and train < 1:
            raise ConfigError(f"dataset.train={train} is out of range", "It is at least 1.")
        self.lower, self.train = lower, train
        self._parts: Optional[dict[str, list[Pair]]] = None

    def read(self) -> dict[str, list[Pair]]:
        """Pairs of ``train``, and of ``valid`` and ``test`` where there are such parts."""
        raise NotImplementedError

    def split(self, name: str) -> Optional[list[Pair]]:
        """Pairs of a part; None where there is no such part."""
        if self._parts is None:
            self._parts = self.read()
            self._parts["train"] = self._parts["train"][: self.train]
        return self._parts.get(name)

    def batches(self, split: str, batch_size: Optional[int] = None) -> Optional[PairBatches]:
        """Minibatches of a part, shuffled for training; None where there is no such part."""
        pairs = self.split(split)
        return PairBatches(pairs, batch_size, shuffle=split == "train") if pairs else None

    def words(self, part: str) -> set[str]:
        """All words of a part, or of ``all`` parts."""
        names = PARTS if part == "all" else (part,)
        pairs = [pair for name in names for pair in self.split(name) or ()]
        return {word for pair in pairs for tree in (pair.left, pair.right) for word in tree.words}

    def from_inputs(self, inputs: Sequence[str]) -> list[Pair]:
        """Pairs that a user gives: all sentences in their order, two and two.

        Parameters
        ----------
        inputs
            Each is a CoNLL-U file, or text such as ``a/2 man/3 sings/0 ||| she/2 sings/0``: words
            with the number of their head, counted from 1; the root has 0.

        Raises
        ------
        DopeError
            A sentence is no tree, or one is left over.
        """
        found: list[Sentence] = []
        for given in inputs:
            path = Path(given).expanduser()
            if path.suffix.lower() in (".conllu", ".conll"):
                found += read_conllu(path, lower=self.lower)
            else:
                found += [Sentence(t, {}, 1) for t in from_text(given, lower=self.lower)]
        if len(found) % 2:
            raise DopeError(
                f"{len(found)} sentences make no pairs: '{found[-1].tree}' is left over",
                "Give two CoNLL-U files, one with pairs of sentences, or 'a/2 man/0 ||| he/0'.",
            )
        return [
            Pair(one.tree, other.tree, _score(one.comments.get(SCORE)) or math.nan)
            for one, other in zip(found[::2], found[1::2])
        ]


class Sick(PairSet):
    """SICK: 9,927 pairs of sentences with trees, in the folders of Tai et al.

    Each part is a folder, ``train``, ``dev`` (or ``valid``, ``trial``) and ``test`` if you like,
    of five files with a line for each pair: ``a.toks`` and ``b.toks`` hold the words of both
    sentences, ``a.parents`` and ``b.parents`` the number of each word's head (counted from 1, 0
    for the root), ``sim.txt`` the score from 1 to 5. The script ``preprocess-sick.py`` of
    https://github.com/stanfordnlp/treelstm makes them, as ``a.toks`` with ``a.parents`` of the
    dependency parser. SICK itself is of Marelli et al. (2014), CC BY-NC-SA 3.0.

    Parameters
    ----------
    path
        The folder that holds the parts' folders; it has to be given.
    """

    def __init__(self, *, path: Optional[Path] = None, **options: Any) -> None:
        super().__init__(**options)
        if path is None:
            raise ConfigError(
                "dataset.path is missing: nlp.sick is read from a folder",
                f"dataset.path=DIR holds train and dev, each with {', '.join(FILES)}.",
            )
        self.path = Path(path).expanduser()

    def read(self) -> dict[str, list[Pair]]:
        found = {}
        for part, names in PARTS.items():
            folder = next((self.path / n for n in names if (self.path / n).is_dir()), None)
            if folder is not None:
                found[part] = read_folder(folder, lower=self.lower)
        if not found.get("train"):
            raise DataError(
                f"there is no folder {self.path / 'train'}, or it is empty",
                f"dataset.path holds train and dev, each with {', '.join(FILES)}.",
            )
        return found


class Conllu(PairSet):
    """Your own pairs of sentences with their trees, as CoNLL-U files.

    The first and second sentence of a file are a pair, the third and fourth, and so on. A comment
    of the first of each pair is the score: ``# similarity = 3.5``, from 1 to 5. A folder holds
    ``train.conllu``, and ``valid.conllu`` (or ``dev``) and ``test.conllu`` if you like. Of a
    single file, ``holdout`` of the pairs, drawn at random, are ``valid``.

    Parameters
    ----------
    path
        The folder or file.
    holdout
        Share of a single file that is held out, in [0, 1).
    seed
        Seed of what is held out.
    """

    def __init__(self, *, path: Path, holdout: float = 0.2, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        if not 0 <= holdout < 1:
            raise ConfigError(f"dataset.holdout={holdout}", "It is at least 0 and below 1.")
        if seed < 0:
            raise ConfigError(f"dataset.seed={seed} is out of range", "It is 0 or more.")
        self.path = Path(path).expanduser()
        self.holdout, self.seed = holdout, seed

    def read(self) -> dict[str, list[Pair]]:
        if not self.path.is_dir():
            pairs = read_pairs(self.path, lower=self.lower)
            order = np.random.default_rng(self.seed).permutation(len(pairs)).tolist()
            held = round(self.holdout * len(pairs))
            parts = {"valid": order[:held], "train": sorted(order[held:])}
            found = {name: [pairs[i] for i in rows] for name, rows in parts.items() if rows}
        else:
            found = {}
            for part, names in PARTS.items():
                files = [self.path / f"{name}.conllu" for name in names]
                file = next((each for each in files if each.is_file()), None)
                if file is not None:
                    found[part] = read_pairs(file, lower=self.lower)
        if not found.get("train"):
            raise DataError(
                f"{self.path} has no pairs to train on",
                "dataset.path is a CoNLL-U file, or a folder with train.conllu.",
            )
        return found


def read_folder(folder: Path, *, lower: bool) -> list[Pair]:
    """Pairs of a folder in SICK's form.

    Raises
    ------
    DataError
        A file is missing, the files differ in length, a line is no tree or no score; it names the
        file and the line.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)}", f"It holds {', '.join(FILES)}, aligned by line."
        )
    left, right = (
        read_heads(folder / f"{side}.toks", folder / f"{side}.parents", lower=lower)
        for side in "ab"
    )
    path = folder / "sim.txt"
    lines = read_lines(path)
    aligned(folder / "a.toks", left, folder / "b.toks", right)
    aligned(folder / "a.toks", left, path, lines)
    scores = [_checked(path, number, line) for number, line in enumerate(lines, 1)]
    return [Pair(a, b, score) for a, b, score in zip(left, right, scores)]


def read_pairs(path: Path, *, lower: bool) -> list[Pair]:
    """Pairs of a CoNLL-U file, each with its score.

    Raises
    ------
    DataError
        A sentence is no tree, has no score, or is left over; it names the line.
    """
    sentences = read_conllu(path, lower=lower)
    if len(sentences) % 2:
        raise DataError(
            f"{path}, line {sentences[-1].line}: a sentence is left over",
            "The first and second sentence are a pair, and so on.",
        )
    return [
        Pair(one.tree, other.tree, _checked(path, one.line, one.comments.get(SCORE, "")))
        for one, other in zip(sentences[::2], sentences[1::2])
    ]


def _checked(path: Path, line: int, text: str) -> float:
    score = _score(text)
    if score is None:
        given = f"'{text.strip()}' is no score" if text.strip() else "there is no score"
        hint = f"A score is a number from 1 to {GRADES}"
        if path.suffix == ".conllu":
            hint += f", in a comment of a pair's first sentence: # {SCORE} = 3.5"
        raise DataError(f"{path}, line {line}: {given}", f"{hint}.")
    return score


def _score(text: Optional[str]) -> Optional[float]:
    """A score from 1 to 5, or None."""
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if 1 <= found <= GRADES else None
