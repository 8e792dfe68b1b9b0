"""All trees of a minibatch cut into leaves and levels by depth, as index arrays.

Holds no network: climb.py goes up the levels, and down again for the gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dope.core.backend import mx, nd
from dope.plugins.nlp.trees import Tree


@dataclass(frozen=True)
class Level:
    """The words of one depth that have children, and how those below hang on them.

    Parameters
    ----------
    begin, end
        Their places among all words that have children.
    heads
        int32 (k,): of each child that has children itself its head's place in this level; they
        are the words of the level before this one, in their order. None in the first level.
    sums
        float32 (n, k): 1 where a word is the head of a child, else 0. None in the first level.
    """

    begin: int
    end: int
    heads: Any
    sums: Any


@dataclass(frozen=True)
class Forest:
    """Many trees: leaves first, in the order of their heads, then words with children by level.

    Parameters
    ----------
    words
        int32 (U,): numbers of the different words.
    nodes
        int32 (N,): the place in ``words`` of each word of each tree: leaves that have a head,
        words that are whole trees, and from the deepest level up the I words with children.
    leaves
        How many leaves have a head.
    singles
        How many words are whole trees.
    heads
        int32 (leaves,): of each leaf its head's place among the words with children.
    sums
        Sparse float32 (I, leaves): 1 where a word is the head of a leaf.
    levels
        From the deepest to the roots; none where all trees are single words.
    order
        int32 (R,): for each tree the place of its root among those with children, which come
        first, and the single words; None where no tree is a single word.
    """

    words: Any
    nodes: Any
    leaves: int
    singles: int
    heads: Any
    sums: Any
    levels: list[Level]
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
        Where the arrays go; the whole numbers are uploaded together.
    """
    find = index.get
    numbers = [find(word, unknown) for tree in trees for word in tree.words]
    words, place = np.unique(numbers, return_inverse=True)
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
    rank[inner] -= bounds[-2:-1].sum()  # roots with children now count from 0
    rank[single] = np.arange(len(trees) - len(single), len(trees))
    nodes = place[np.concatenate([leaf, single, inner])]
    parts = [words, nodes, over_leaf, over, rank[root]]
    ints = nd.array(np.concatenate(parts), ctx=context, dtype="int32")
    ends = np.cumsum([len(part) for part in parts]).tolist()
    return Forest(
        words=ints[: ends[0]],
        nodes=ints[ends[0] : ends[1]],
        leaves=len(leaf),
        singles=len(single),
        heads=ints[ends[1] : ends[2]] if len(leaf) else None,
        sums=_sparse(over_leaf, len(inner), context) if len(leaf) else None,
        levels=_levels(over, bounds.tolist(), ints, ends[2], context),
        order=ints[ends[3] : ends[4]] if len(single) else None,
    )


def _levels(
    over: np.ndarray, bounds: Sequence[int], ints: Any, first: int, context: Any
) -> list[Level]:
    """The levels; ``over`` is the heads of all but roots, and lies in ``ints`` from ``first``."""
    pairs = list(zip(bounds, bounds[1:]))
    sizes = [(c - b) * (b - a) for (a, b), (_, c) in zip(pairs, pairs[1:])]
    offsets = np.cumsum([0, *sizes]).tolist()
    flat = np.zeros(offsets[-1], np.float32)
    for (a, b), offset in zip(pairs, offsets[:-1]):
        flat[offset + over[a:b] * (b - a) + np.arange(b - a)] = 1
    matrices = nd.array(flat, ctx=context) if sizes else None  # uploaded together
    levels = [Level(*pair, None, None) for pair in pairs[:1]]
    for (a, b), (_, c), offset, end in zip(pairs, pairs[1:], offsets, offsets[1:]):
        sums = matrices[offset:end].reshape((c - b, b - a))
        levels.append(Level(b, c, ints[first + a : first + b], sums))
    return levels


def _sparse(heads: np.ndarray, rows: int, context: Any) -> Any:
    """Sparse (rows, n): column j has a 1 in row heads[j]; heads are in order."""
    n = len(heads)
    starts = np.concatenate([[0], np.cumsum(np.bincount(heads, minlength=rows))])
    parts = np.ones(n, np.float32), np.arange(n), starts
    return mx.nd.sparse.csr_matrix(parts, shape=(rows, n), ctx=context)
