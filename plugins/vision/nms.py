"""What a detector says, made into boxes: the surest of those that find one thing.

Holds the call of MXNet's operator and the reading of its answer; scores and offsets are of the
network in ``ssd_net.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dope.core.backend import mx, nd

MOST = 400  # boxes of an image that are compared with each other, the surest


def detect(scores: Any, offsets: Any, anchors: Any, *, threshold: float, overlap: float) -> Any:
    """Boxes of each image after non-maximum suppression, still on the device.

    Each default box stands for its likeliest class. From the surest on, a box removes all less
    sure ones of its class that it overlaps by ``overlap`` or more.

    Parameters
    ----------
    scores
        (n, A, K + 1), before the softmax, background first; an array or, with all others, a symbol.
    offsets
        (n, A, 4), see `matching.encode`.
    anchors
        (A, 4) in NumPy, or (1, A, 4).
    threshold
        Least probability of a class.
    overlap
        IoU; above 1 removes nothing.

    Returns
    -------
    NDArray
        (n, 400 at most, 6): class from 0, probability, left, top, right, bottom, cut off at the
        edges of the image. The class is -1 in rows without a box and of boxes that were removed.
    """
    F = nd if isinstance(scores, nd.NDArray) else mx.sym
    default = anchors
    if isinstance(anchors, np.ndarray):
        default = nd.array(anchors[None], ctx=scores.context)
    # The operator wants classes before default boxes. NumPy takes 30 times as long for the same.
    likely = F.transpose(F.softmax(scores, axis=-1), axes=(0, 2, 1))
    found = F.contrib.MultiBoxDetection(
        likely,
        F.reshape(offsets, shape=(0, -1)),
        default,
        threshold=threshold,
        nms_threshold=overlap,
        nms_topk=MOST,
    )
    return F.slice(found, begin=(None, 0), end=(None, MOST))


def read(found: Any) -> list[np.ndarray]:
    """The boxes of each image as float32 (p, 6), the surest first."""
    return [rows[rows[:, 0] >= 0] for rows in found.asnumpy()]
