"""Figures of a classifier from counts and probabilities: F1, precision, recall and its average.

Holds arithmetic on NumPy arrays; no networks and no drawing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """Precision at each recall of one class, the surest predictions first."""

    recall: np.ndarray
    precision: np.ndarray
    average: float
    total: int


def counted(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often each class was taken for each: (K, K), true class by predicted class."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels.astype(np.int64), predicted.astype(np.int64)), 1)
    return matrix


def f1_scores(matrix: np.ndarray) -> np.ndarray:
    """F1 of each class (K,): 2 TP / (2 TP + FP + FN); nan where it neither is nor is predicted.

    Parameters
    ----------
    matrix
        As `counted` returns it.
    """
    hits = np.diag(matrix).astype(float)
    both = matrix.sum(0) + matrix.sum(1)
    return np.divide(2 * hits, both, out=np.full(len(matrix), np.nan), where=both > 0)


def macro(scores: np.ndarray) -> float:
    """The mean over classes that have a score; nan if none has."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if len(known) else float("nan")


def precision_recall(positive: np.ndarray, sure: np.ndarray) -> Curve:
    """Precision and recall at each threshold, and the average precision.

    The average is the sum over thresholds of precision times what recall gains there, without
    interpolation, as in scikit-learn's ``average_precision_score``.

    Parameters
    ----------
    positive
        Which examples are of the class: bool, (N,).
    sure
        p(class | example), (N,). Examples of one probability count together.
    """
    order = np.argsort(-sure, kind="stable")
    ranked, hits = sure[order], np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of each threshold
    total = int(positive.sum())
    recall = hits[last] / max(1, total)
    precision = hits[last] / (last + 1)
    average = float((np.diff(recall, prepend=0.0) * precision).sum()) if total else float("nan")
    return Curve(recall, precision, average, total)


def balanced(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weights (K,) under which each class counts alike: N / (K n_k), as scikit-learn's.

    A class without examples has weight 1.
    """
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 1.0)
