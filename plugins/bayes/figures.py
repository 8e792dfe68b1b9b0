"""What predictions of many networks say together: entropies, calibration, and what sets apart.

Holds NumPy on probabilities; no network.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BINS = 15


class Uncertainty(NamedTuple):
    """In nats, (n,) each."""

    total: np.ndarray  # entropy of the mean prediction
    epistemic: np.ndarray  # mutual information of class and weights: what more data would settle


class Reliability(NamedTuple):
    """Predictions by their confidence, in bins of equal width; NaN in bins that are empty."""

    edges: np.ndarray  # (bins + 1,)
    counts: np.ndarray  # (bins,)
    confidence: np.ndarray  # (bins,) mean probability of the predicted class
    accuracy: np.ndarray  # (bins,)


def entropy(p: np.ndarray) -> np.ndarray:
    """-sum p log p over the last axis, in nats."""
    return -np.sum(p * np.log(np.maximum(p, 1e-30)), axis=-1)


def uncertainty(p: np.ndarray) -> Uncertainty:
    """Of predictions (draws, n, K).

    The entropy of the mean is the mean entropy plus the mutual information (Houlsby et al., 2011,
    equation 2), which is therefore never below 0.
    """
    total = entropy(p.mean(axis=0))
    return Uncertainty(total, np.maximum(total - entropy(p).mean(axis=0), 0.0))


def reliability(p: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Reliability:
    """Of probabilities (n, K) and true classes (n,)."""
    sure, right = p.max(axis=1), p.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)  # bins are (a, b]
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, sure, bins) / count
        accuracy = np.bincount(place, right, bins) / count
    return Reliability(edges, count, confidence, accuracy)


def calibration_error(p: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of confidence and accuracy, weighted by bins.

    Guo et al. (2017), "On Calibration of Modern Neural Networks", equation 3.
    """
    found = reliability(p, labels, bins)
    gap = np.abs(found.confidence - found.accuracy)
    return float(np.nansum(gap * found.counts) / found.counts.sum())


def log_loss(p: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-probability of the true class."""
    return float(-np.log(np.maximum(p[np.arange(len(p)), labels], 1e-30)).mean())


def area(inside: np.ndarray, outside: np.ndarray) -> float:
    """Probability that a score of ``outside`` is above one of ``inside``; ties count half.

    The area under the receiver operating characteristic, by ranks (Mann and Whitney).
    """
    below = np.searchsorted(np.sort(inside), outside, side="left").sum()
    upto = np.searchsorted(np.sort(inside), outside, side="right").sum()
    return float((below + upto) / (2 * len(inside) * len(outside)))
