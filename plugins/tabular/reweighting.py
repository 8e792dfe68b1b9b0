"""Covariate shift corrected without steps: logistic regression by Newton, weighted least squares.

Holds NumPy only, for pictures over many problems and as an independent answer to compare with.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

NEWTON = 25  # steps, of which about 8 are needed
RIDGE = 1e-6  # so that classes that are separable do not run away


def effective(weights: np.ndarray) -> float:
    """Effective sample size (sum w)^2 / sum w^2 of weights (n,) (Kish 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def design(x: np.ndarray, degree: int = 1) -> np.ndarray:
    """A column of ones, then powers of inputs (n, D) up to ``degree``: (n, 1 + degree D)."""
    x = x.astype(float)
    return np.column_stack([np.ones(len(x)), *(x**k for k in range(1, degree + 1))])


def logistic(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Coefficients (p,) of rows (n, p) for targets 0 and 1, by Newton's method."""
    found = np.zeros(rows.shape[1])
    for _ in range(NEWTON):
        p = 1 / (1 + np.exp(-np.clip(rows @ found, -500, 500)))
        slope = rows.T @ (p - targets) + RIDGE * found
        curve = rows.T @ (rows * (p * (1 - p))[:, None]) + RIDGE * np.eye(len(found))
        found = found - np.linalg.solve(curve, slope)
    return found


def ratios(x: np.ndarray, z: np.ndarray, degree: int, limit: Optional[float] = None) -> np.ndarray:
    """Density of z (m, D) over that of x (n, D), at x: weights (n,), the odds of a classifier.

    Where there are more of either, the odds are out by m / n, which is made good.
    """
    both = np.concatenate([x, z]).astype(float)
    mean, scale = both.mean(axis=0), both.std(axis=0)
    rows = design((both - mean) / scale, degree)
    found = logistic(rows, np.repeat([0.0, 1.0], [len(x), len(z)]))
    weights: np.ndarray = np.exp(rows[: len(x)] @ found) * len(x) / len(z)
    return weights if limit is None else np.minimum(weights, limit)


def fit(x: np.ndarray, y: np.ndarray, weights: Optional[np.ndarray] = None) -> np.ndarray:
    """Bias and weights (1 + D,) of the least squares, weighted."""
    root = np.sqrt(np.ones(len(x)) if weights is None else weights)
    rows = design(x) * root[:, None]
    found: np.ndarray = np.linalg.lstsq(rows, np.asarray(y, dtype=float) * root, rcond=None)[0]
    return found


def errors(data: Any, degree: int, limit: Optional[float]) -> list[float]:
    """Mean squared errors of lines on the shifted points of one problem.

    Parameters
    ----------
    data
        A ``tabular.shifted``.
    degree
        Of the classifier.
    limit
        The largest weight.

    Returns
    -------
    list
        Without weights; with those of the classifier; with the true ratio; and the line that is
        best there.
    """
    (x, y, z), (there, values) = data.split("train"), data.split("test")
    true = data.ratio(x)
    lines = [
        fit(x, y),
        fit(x, y, ratios(x, z, degree, limit)),
        fit(x, y, true if limit is None else np.minimum(true, limit)),
        fit(there, values),
    ]
    return [float(np.mean((design(there) @ line - values) ** 2)) for line in lines]
