"""Dependency trees: what they are, and their reading from heads, CoNLL-U files and one-line text.

Holds no data sets and no batches; those are in ``sick.py`` and ``forest.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dope.core.errors import DataError, DopeError

_BLANKS = re.compile(r"[ \t]+")  # others may stand in a word
SEPARATOR = "|||"  # between the two sentences of a pair in one line of text


@dataclass(frozen=True, eq=False)
class Tree:
    """A sentence with the head of each word.

    Parameters
    ----------
    words
        The n words, as they stand in the sentence.
    heads
        int32 (n,): place of each word's head, from 0; -1 at the root.
    depth
        int32 (n,): edges from the root to each word.
    """

    words: tuple[str, ...]
    heads: np.ndarray
    depth: np.ndarray

    def __len__(self) -> int:
        return len(self.words)

    def __str__(self) -> str:
        return " ".join(self.words)

    def children(self) -> list[list[int]]:
        """Places of the children of each word, in the order of the sentence."""
        found: list[list[int]] = [[] for _ in self.words]
        for place, head in enumerate(self.heads.tolist()):
            if head >= 0:
                found[head].append(place)
        return found


class Sentence(NamedTuple):
    """A tree of a CoNLL-U file, its comments and its first line."""

    tree: Tree
    comments: dict[str, str]
    line: int


class Malformed(ValueError):
    """Words and heads that are no tree; says why. Who reads a file adds where."""


def make_tree(words: Sequence[str], heads: Sequence[int]) -> Tree:
    """A tree from words and heads.

    Parameters
    ----------
    words
        The words.
    heads
        Of each word the number of its head, counted from 1; 0 for the root.

    Raises
    ------
    Malformed
        There are no words, or not as many heads as words, a head is out of range, there is not
        one root, or the heads go round in a circle.
    """
    n = len(words)
    if not n:
        raise Malformed("it has no words")
    if len(heads) != n:
        raise Malformed(f"it has {_counted(n, 'word')} and {_counted(len(heads), 'head')}")
    for place, head in enumerate(heads, 1):
        if not 0 <= head <= n:
            raise Malformed(f"the head of word {place} is {head}, and there are {n} words")
    roots = [place for place, head in enumerate(heads) if head == 0]
    if len(roots) > 1:
        named = " and ".join(str(place + 1) for place in roots[:2])
        raise Malformed(f"it has {len(roots)} roots, words {named} first")
    depth = _depths(heads, roots)
    if min(depth) < 0:
        if not roots:
            raise Malformed("it has no root: no head is 0")
        lost = depth.index(-1) + 1
        raise Malformed(f"its heads go round in a circle: word {lost} never comes to the root")
    return Tree(tuple(words), np.array(heads, np.int32) - 1, np.array(depth, np.int32))


def _depths(heads: Sequence[int], roots: Sequence[int]) -> list[int]:
    """Edges from a root to each word, -1 where none leads to it."""
    below: list[list[int]] = [[] for _ in heads]
    for place, head in enumerate(heads):
        if head:
            below[head - 1].append(place)
    depth, found = [-1] * len(heads), list(roots)
    for place in found:  # it grows meanwhile
        depth[place] = depth[heads[place] - 1] + 1 if heads[place] else 0
        found += below[place]
    return depth


def _counted(n: int, thing: str) -> str:
    return f"{n} {thing}{'' if n == 1 else 's'}"


def read_lines(path: Path) -> list[str]:
    """Lines of a text file in UTF-8.

    Raises
    ------
    DataError
        There is no such file, it cannot be read, or is not UTF-8.
    """
    try:
        # not splitlines(), which ends lines at characters that may stand in a word
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        return lines if lines[-1] else lines[:-1]
    except FileNotFoundError:
        raise DataError(
            f"there is no file {path}", "dope show says which files are read."
        ) from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8", "Convert it: iconv -t utf-8.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "Is it a file?") from error


def malformed(path: Path, line: int, reason: object) -> DataError:
    """The error that a sentence in a file is no tree."""
    return DataError(
        f"{path}, line {line}: {reason}",
        "A tree has one root (head 0), and every other word's head is a word, counted from 1.",
    )


def read_heads(tokens: Path, heads: Path, *, lower: bool = False) -> list[Tree]:
    """Trees of two files of equal length: words, and heads, of a sentence a line.

    Parameters
    ----------
    tokens
        Words, separated by blanks.
    heads
        The number of each word's head, counted from 1, 0 for the root; separated by blanks.
    lower
        Put words into lower case.

    Raises
    ------
    DataError
        A file is missing, the files differ in length, or a line is no tree; it names the line.
    """
    sentences, numbers = read_lines(tokens), read_lines(heads)
    aligned(tokens, sentences, heads, numbers)
    made = []
    for line, (sentence, above) in enumerate(zip(sentences, numbers), 1):
        words = _BLANKS.split(sentence.lower() if lower else sentence)
        try:
            made.append(
                make_tree([w for w in words if w], [_number(word) for word in above.split()])
            )
        except Malformed as error:
            raise malformed(heads, line, error) from None
    return made


def aligned(one: Path, lines: Sequence[Any], other: Path, others: Sequence[Any]) -> None:
    """Insist that two files have equally many lines."""
    if len(lines) != len(others):
        short, n = (one, len(lines)) if len(lines) < len(others) else (other, len(others))
        raise DataError(
            f"{one} has {len(lines)} lines and {other} has {len(others)}: {short} ends at line {n}",
            "Each line of one belongs to the same line of the other.",
        )


def _number(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise Malformed(f"head '{word}' is not a whole number") from None


def read_conllu(path: Path, *, lower: bool = False) -> list[Sentence]:
    """The sentences of a CoNLL-U file; tokens of several words and empty nodes are left out.

    Parameters
    ----------
    path
        The file.
    lower
        Put words into lower case.

    Raises
    ------
    DataError
        The file is missing, or a sentence is no tree; it names the line.

    Notes
    -----
    https://universaldependencies.org/format.html: ten columns separated by tabs, of which ID, FORM
    and HEAD are read, and comments ``# key = value``.
    """
    made = []
    for first, block in _blocks(read_lines(path)):
        comments: dict[str, str] = {}
        words: list[str] = []
        heads: list[int] = []
        for number, line in enumerate(block, first):
            if line.startswith("#"):
                key, _, value = line[1:].partition("=")
                comments[key.strip()] = value.strip()
                continue
            try:
                _add_word(line, words, heads)
            except Malformed as error:
                raise malformed(path, number, error) from None
        try:
            tree = make_tree([w.lower() for w in words] if lower else words, heads)
        except Malformed as error:
            raise malformed(path, first, f"the sentence that begins here: {error}") from None
        made.append(Sentence(tree, comments, first))
    return made


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Runs of lines that are not blank, each with the number of its first line."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _add_word(line: str, words: list[str], heads: list[int]) -> None:
    columns = line.split("\t")
    if len(columns) != 10:
        raise Malformed(f"it has {_counted(len(columns), 'column')}, not 10 separated by tabs")
    number, form, head = columns[0], columns[1], columns[6]
    if "-" in number or "." in number:  # a token of several words, or an empty node
        return
    if number != str(len(words) + 1):
        raise Malformed(f"ID is '{number}' where {len(words) + 1} is expected")
    heads.append(_number(head))
    words.append(form)


def from_text(text: str, *, lower: bool = False) -> list[Tree]:
    """Trees of one line of text: ``a/2 man/3 sings/0 ||| a/2 woman/3 sings/0``.

    Each word is followed by a slash and the number of its head, counted from 1; the root has 0.

    Parameters
    ----------
    text
        One sentence, or several separated by ``|||``.
    lower
        Put words into lower case.

    Raises
    ------
    DopeError
        A word has no head, or a sentence is no tree.
    """
    made = []
    for sentence in text.split(SEPARATOR):
        try:
            pairs = [word.rpartition("/") for word in sentence.split()]
            for word, _, head in pairs:
                if not word:
                    raise Malformed(f"word '{head}' has no head")
            words = [word.lower() if lower else word for word, _, _ in pairs]
            made.append(make_tree([w for w in words if w], [_number(head) for _, _, head in pairs]))
        except Malformed as error:
            raise DopeError(
                f"sentence '{' '.join(sentence.split())}': {error}",
                "Write each word with its head's number, counted from 1: 'a/2 man/3 sings/0'.",
            ) from None
    return made
