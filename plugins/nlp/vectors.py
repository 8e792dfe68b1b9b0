"""Vectors of words from a text file, through gluonnlp, and a network that starts from them.

Holds no network and no vocabulary; those are in tree_lstm.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dope.core.backend import mx
from dope.core.errors import ConfigError, DataError

UNKNOWN = ""  # no file has it


class Given(mx.init.Initializer):
    """Known vectors, and random ones for words that have none.

    Parameters
    ----------
    words
        One a row.
    vectors
        Word to vector.
    spread
        Other vectors are drawn from -spread to spread, evenly; that of the unknown word is the
        mean of all known ones.
    """

    def __init__(
        self, words: Sequence[str], vectors: Mapping[str, np.ndarray], spread: float
    ) -> None:
        super().__init__()
        self.words, self.vectors, self.spread = words, vectors, spread

    def _init_weight(self, name: Any, arr: Any) -> None:
        mx.nd.random.uniform(-self.spread, self.spread, out=arr)
        values = arr.asnumpy()
        for row, word in enumerate(self.words):
            if word in self.vectors:
                values[row] = self.vectors[word]
            elif word == UNKNOWN:
                values[row] = np.mean(list(self.vectors.values()), axis=0)
        arr[:] = values


def read_vectors(path: Path, words: Collection[str]) -> dict[str, np.ndarray]:
    """Vectors of those of the words that a file has.

    Parameters
    ----------
    path
        A text file in UTF-8: a word and its numbers a line, separated by blanks.
    words
        The words that are wanted.

    Raises
    ------
    ConfigError
        gluonnlp is not installed.
    DataError
        There is no such file, it has none of the words, or cannot be read as vectors.

    Notes
    -----
    gluonnlp makes a Python number of all that it reads: of GloVe's larger files more than fits
    into memory. So it gets the lines of wanted words only.
    """
    try:
        from gluonnlp.embedding import TokenEmbedding
    except ImportError as error:
        raise ConfigError(
            f"model.embedding={path} needs gluonnlp, which does not import ({error})",
            "Run: pip install 'dope[nlp]'",
        ) from error
    kept: list[str] = []
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                if line.partition(" ")[0] in words:
                    kept.append(" ".join(line.split()) + "\n")
    except OSError as error:
        raise DataError(
            f"model.embedding: {path} cannot be read: {error.strerror}",
            "Give a text file of vectors, such as glove.6B.300d.txt from "
            "https://nlp.stanford.edu/projects/glove/.",
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"model.embedding: {path} is not UTF-8", "Give a text file.") from error
    if not kept:
        raise DataError(
            f"model.embedding: {path} has none of the {len(words)} words of the data",
            "Each of its lines is a word and its numbers, separated by blanks.",
        )
    lengths = {line.count(" ") for line in kept}
    try:
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(f"vectors of {sorted(lengths)} numbers")
        with tempfile.TemporaryDirectory() as folder:
            small = Path(folder) / "vectors.txt"
            small.write_text("".join(kept), encoding="utf-8")
            found = TokenEmbedding.from_file(str(small), elem_delim=" ", unknown_token=None)
    except (ValueError, AssertionError) as error:
        raise DataError(f"model.embedding: {path}: {error}", "Is it a file of vectors?") from error
    vectors = found.idx_to_vec.asnumpy()
    return {word: vectors[row] for row, word in enumerate(found.idx_to_token)}
