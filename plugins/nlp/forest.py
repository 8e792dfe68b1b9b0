"""All trees of a minibatch cut into levels by depth, as index arrays.

Holds no network: tree_lstm.py goes through the levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dope.core.backend import nd
from dope.plugins.nlp.trees import Tree


@dataclass(frozen=True)
class Level:
    """The words of one depth that have children.

    Parameters
    ----------
    nodes
        int32 (n,): the words.
    heads
        int32 (m,): the word above each child; the n children that have children themselves come
        first, in the order of the next level, then the leaves.
    leaves
        int32 (k,): the children that are leaves; None where there is none.
    inner
        Whether any child has children.
    sums
        float32 (n, m): 1 where a word is the head of a child, else 0.
    """

    nodes: Any
    heads: Any
    leaves: Any
    inner: bool
    sums: Any


@dataclass(frozen=True)
class Forest:
    """Many trees, level by level; words are given by their place in ``words``.

    Parameters
    ----------
    words
        int32 (U,): numbers of the different words.
    levels
        From the deepest to the roots; none where all trees are single words.
    single
        int32 (k,): the words that are whole trees; None where there is none.
    order
        int32 (R,): for each tree the place of its root among those with children, which come
        first, and the single words; None where no tree is a single word.
    """

    words: Any
    levels: list[Level]
    single: Any
    order: Any


def plant(trees: Sequence[Tree], index: Mapping[str, int], unknown: int, context: Any) -> Forest:
    """Cut trees into levels.

    Parameters
    ----------
    trees
        The R trees.
    index
        Numbers of the known words.
    unknown
        Number of all other words.
    context
        Where the arrays go; they are uploaded together.
    """
    find, R = index.get, len(trees)
    sizes = np.array([len(tree) for tree in trees])
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)  # (N,) where each word's tree begins
    heads = np.concatenate([tree.heads for tree in trees])
    root = heads < 0
    heads = heads + first  # nonsense at the roots
    depth = np.concatenate([tree.depth for tree in trees])
    leaf = np.bincount(heads[~root], minlength=len(heads)) == 0
    words, place = np.unique(
        [find(word, unknown) for tree in trees for word in tree.words], return_inverse=True
    )
    # By depth, then what has children before what has none, then as in the trees
    key = 2 * depth + leaf
    order = np.argsort(key, kind="stable")
    counts = np.bincount(key, minlength=2 * int(depth.max()) + 2).reshape(-1, 2)
    ends = np.cumsum(counts.sum(axis=1)).tolist()
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    above = rank[heads[order[R:]]]  # (N - R,) of each word but the roots
    mixed = bool(counts[0, 1])
    parts = [words, place[order], place[heads[order[R:]]], rank[np.flatnonzero(root)]]
    ints = nd.array(np.concatenate(parts), ctx=context, dtype="int32")
    U, N = len(words), len(order)
    nodes, above_word = ints[U : U + N], ints[U + N : U + 2 * N - R]
    inner = counts[:, 0].tolist()
    levels = []
    tops = [0, *ends]
    matrices, offsets = _sums(above, tops, inner, R)
    flat: Any = nd.array(matrices, ctx=context) if len(ends) > 1 else None
    for d in range(len(ends) - 2, -1, -1):
        begin, end = tops[d + 1], tops[d + 2]  # of the children
        n, m, k = inner[d], end - begin, inner[d + 1]
        levels.append(
            Level(
                nodes[tops[d] : tops[d] + n],
                above_word[begin - R : end - R],
                nodes[begin + k : end] if k < m else None,
                k > 0,
                flat[offsets[d] : offsets[d + 1]].reshape((n, m)),
            )
        )
    single = nodes[inner[0] : R] if mixed else None
    return Forest(ints[:U], levels, single, ints[U + 2 * N - R :] if mixed else None)


def _sums(
    above: np.ndarray, tops: Sequence[int], inner: Sequence[int], roots: int
) -> tuple[np.ndarray, list[int]]:
    """The matrices of all levels one after the other, and where each begins."""
    sizes = [n * (end - begin) for n, begin, end in zip(inner, tops[1:], tops[2:])]
    offsets = [0, *np.cumsum(sizes).tolist()] if sizes else [0]
    flat = np.zeros(offsets[-1], np.float32)
    for d, (begin, end) in enumerate(zip(tops[1:], tops[2:])):
        rows = above[begin - roots : end - roots] - tops[d]
        flat[offsets[d] + rows * (end - begin) + np.arange(end - begin)] = 1
    return flat, offsets
