"""Which default box is to find which object, and boxes as offsets from default boxes.

Holds NumPy only, on the host; the default boxes themselves are in ``anchors.py``.
"""

from __future__ import annotations

import numpy as np

from dope.plugins.vision.boxes import iou

VARIANCES = np.array([0.1, 0.1, 0.2, 0.2], np.float32)  # of SSD's reference code
SLIVER = 1e-6  # smallest side of a box that is coded


def encode(boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes as offsets from default boxes.

    With centre (x, y), width w and height h of the box, and the same of the default box with an
    index a::

        (x - xa) / wa / 0.1, (y - ya) / ha / 0.1, log(w / wa) / 0.2, log(h / ha) / 0.2

    Parameters
    ----------
    boxes, anchors
        (..., 4): left, top, right, bottom; of shapes that broadcast.

    Returns
    -------
    ndarray
        (..., 4).

    Notes
    -----
    Liu et al. (2016), equation 2. The divisors are those of their code: offsets come to a size of
    about one.
    """
    centre, sides = _centred(boxes)
    here, own = _centred(anchors)
    shift = (centre - here) / own
    stretch = np.log(np.maximum(sides, SLIVER) / own)
    return np.concatenate([shift, stretch], -1) / VARIANCES


def decode(offsets: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes (..., 4) of offsets from default boxes: the reverse of `encode`."""
    here, own = _centred(anchors)
    scaled = offsets * VARIANCES
    centre = scaled[..., :2] * own + here
    half = np.exp(np.minimum(scaled[..., 2:], 20.0)) * own / 2  # never infinite
    return np.concatenate([centre - half, centre + half], -1)


def match(overlaps: np.ndarray, real: np.ndarray, threshold: float) -> np.ndarray:
    """For each default box the number of the object that it is to find; -1 for none.

    First each object gets one default box for itself: of all pairs the one with the largest
    overlap, then of the pairs of other objects and other boxes, and so on. Then each box that is
    left gets the object that it overlaps most, if by ``threshold`` or more.

    Parameters
    ----------
    overlaps
        (n, A, M): IoU of default boxes and objects.
    real
        (n, M): False for rows that hold no object.
    threshold
        Between 0 and 1.

    Returns
    -------
    ndarray
        int, (n, A).
    """
    n, A, M = overlaps.shape
    open_pairs = np.where(real[:, None], overlaps, -1.0).astype(np.float32)
    best = open_pairs.argmax(axis=2)
    found = np.where(open_pairs.max(axis=2, initial=-1.0) >= threshold, best, -1)
    rows = np.arange(n)
    for _ in range(int(real.sum(axis=1).max(initial=0))):
        pair = open_pairs.reshape(n, A * M).argmax(axis=1)
        anchor, thing = pair // M, pair % M
        some = open_pairs[rows, anchor, thing] > 0  # what overlaps nothing is left alone
        r, a, m = rows[some], anchor[some], thing[some]
        found[r, a] = m
        open_pairs[r, a, :] = -1
        open_pairs[r, :, m] = -1
    return found


def targets(
    anchors: np.ndarray, labels: np.ndarray, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """What the detector is to say for each default box of each image.

    Parameters
    ----------
    anchors
        (A, 4).
    labels
        (n, M, 5): class from 0, left, top, right, bottom; -1 in rows without an object.
    threshold
        IoU from which on a default box is to find an object.

    Returns
    -------
    classes : ndarray
        float32, (n, A): 0 for background, else the class plus 1.
    offsets : ndarray
        float32, (n, A, 4), see `encode`; 0 for background.
    """
    real = labels[..., 0] >= 0
    found = match(iou(anchors, labels[..., 1:5]), real, threshold)
    rows, which = np.nonzero(found >= 0)
    chosen = labels[rows, found[rows, which]]  # (positives, 5)
    classes = np.zeros(found.shape, np.float32)
    offsets = np.zeros((*found.shape, 4), np.float32)
    classes[rows, which] = chosen[:, 0] + 1
    offsets[rows, which] = encode(chosen[:, 1:5], anchors[which])
    return classes, offsets


def _centred(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres and sides (..., 2) of boxes (..., 4)."""
    low, high = boxes[..., :2], boxes[..., 2:4]
    return (low + high) / 2, high - low
