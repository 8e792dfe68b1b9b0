"""All trees of a minibatch cut into leaves and levels by depth, as index arrays on the host.

Holds no network: climb.py and rising.py go up the levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from dope.plugins.nlp.trees import Tree


@dataclass(frozen=True)
class Level:
    """The words of one depth that have children.

    Parameters
    ----------
    begin, end
        Their places among all words that have children.
    heads
        (k,): of each child that has children itself its head's place in this level. These
        children are the words of the level before this one, in their order.
    first, last
        The places of the other children among all leaves.
    """

    begin: int
    end: int
    heads: np.ndarray
    first: int
    last: int


@dataclass(frozen=True)
class Forest:
    """Many trees: words without children once for each different word, all others by level.

    Parameters
    ----------
    words
        int32 (U,): numbers of the different words, those that somewhere have children first, and
        then 0 up to a multiple of 32: oneDNN prepares anew for each number of rows that it has not
        seen.
    tall
        How many of them somewhere have children.
    low
        (V,): places in ``words`` of those that somewhere have no children.
    high
        (I,): the place in ``words`` of each word with children, from the deepest level up.
    leaves
        (M,): of each leaf that has a head its place in ``low``.
    heads
        (M,): and its head's place in ``high``, in order.
    levels
        From the deepest to the roots; none where all trees are single words.
    order
        (R,): for each tree the place of its root among those with children, which come first, and
        the words of ``low``; None where no tree is a single word.
    """

    words: np.ndarray
    tall: int
    low: np.ndarray
    high: np.ndarray
    leaves: np.ndarray
    heads: np.ndarray
    levels: list[Level]
    order: Optional[np.ndarray]


def plant(trees: Sequence[Tree], index: Mapping[str, int], unknown: int) -> Forest:
    """Cut trees into levels.

    Parameters
    ----------
    trees
        The R trees.
    index
        Numbers of the known words.
    unknown
        Number of all other words.
    """
    find = index.get
    numbers = [find(word, unknown) for tree in trees for word in tree.words]
    sizes = np.array([len(tree) for tree in trees])
    start = np.repeat(np.cumsum(sizes) - sizes, sizes)  # (N,) where each word's tree begins
    heads = np.concatenate([tree.heads for tree in trees])
    root = heads < 0
    heads = heads + start  # nonsense at the roots
    childless = np.bincount(heads[~root], minlength=len(heads)) == 0
    inner = np.flatnonzero(~childless)
    depth = np.concatenate([tree.depth for tree in trees])[inner]
    inner = inner[np.argsort(-depth, kind="stable")]
    counts = np.bincount(depth)[::-1]  # (L,) words of each level
    bounds = np.concatenate([[0], np.cumsum(counts)])  # (L + 1,)
    rank = np.empty_like(heads)
    rank[inner] = np.arange(len(inner))
    leaf, single = np.flatnonzero(childless & ~root), np.flatnonzero(childless & root)
    leaf = leaf[np.argsort(rank[heads[leaf]], kind="stable")]
    over_leaf = rank[heads[leaf]]
    # Of words with children but roots: their head's place in the level that comes next
    inside = inner[: len(inner) - counts[-1:].sum()]
    over = rank[heads[inside]] - np.repeat(bounds[1:-1], counts[:-1])
    words, place, tall = _different(numbers, inner)
    low, of_leaf = np.unique(place[np.concatenate([leaf, single])], return_inverse=True)
    rank[inner] -= bounds[-2:-1].sum()  # roots with children now count from 0
    rank[single] = of_leaf[len(leaf) :] + len(trees) - len(single)  # and leaves come after them
    ends = bounds.tolist()
    cuts = np.searchsorted(over_leaf, bounds).tolist()
    levels = [
        Level(begin, end, over[before:begin], first, last)
        for before, begin, end, first, last in zip([0, *ends], ends, ends[1:], cuts, cuts[1:])
    ]
    order = rank[root] if len(single) else None
    of_leaf = of_leaf[: len(leaf)]
    return Forest(words, tall, low, place[inner], of_leaf, over_leaf, levels, order)


def _different(numbers: Sequence[int], inner: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The different words, each word's place among them, and how many of them come first.

    Those come first that are among the ``inner`` words.
    """
    words, place = np.unique(numbers, return_inverse=True)
    tall = np.bincount(place[inner], minlength=len(words)) > 0
    arranged = np.argsort(~tall, kind="stable")
    words = np.pad(words[arranged].astype(np.int32), (0, -len(words) % 32))
    return words, np.argsort(arranged)[place], int(tall.sum())


def sums(heads: np.ndarray, rows: int, dtype: type = np.float32) -> np.ndarray:
    """(rows, n): 1 in row heads[j] of column j, else 0; times children it is sums of theirs."""
    found: np.ndarray = np.zeros((rows, len(heads)), dtype)
    found[heads, np.arange(len(heads))] = 1
    return found
