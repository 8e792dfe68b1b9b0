"""Mean average precision of found boxes: as in COCO, and as in Pascal VOC 2007.

Holds the matching and the measure; finding boxes is the task's matter. Agrees with pycocotools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dope.plugins.vision import boxes

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of IoU, COCO
RECALLS = np.linspace(0, 1, 101)  # COCO
RECALLS_VOC07 = np.arange(11) / 10
MOST = 100  # best boxes of an image and class that COCO looks at
SLACK = 1e-6  # of IoU: shares in float32 must not lose a box that reaches a threshold exactly


class Hits(NamedTuple):
    """What became of found boxes (p) at each threshold (T), best score first."""

    scores: np.ndarray  # (p,)
    right: np.ndarray  # bool (T, p): matched to an object that counts
    ignored: np.ndarray  # bool (T, p): matched to one that does not count


def mean_average_precision(
    truth: Sequence[np.ndarray], found: Sequence[np.ndarray], classes: int
) -> dict[str, Any]:
    """How well found boxes agree with the true ones.

    Parameters
    ----------
    truth
        For each image (m, 6): class, left, top, right, bottom, and 0 for an object that counts,
        1 for a difficult one, 2 for a crowd. Neither of the last two has to be found, and boxes
        that find them count neither as right nor as wrong; a crowd takes any number of boxes, and
        the share of a box that lies in it stands for IoU.
    found
        For each image (p, 6): class, score, left, top, right, bottom, in the units of ``truth``.
        Of equal scores the first one goes first.
    classes
        Number of classes.

    Returns
    -------
    dict
        ``map``: COCO's measure, the mean over IoU from 0.5 to 0.95 in steps of 0.05 of precision
        at 101 recalls, 100 boxes an image and class at most, objects of all sizes.
        ``map_50``, ``map_75``: the same at IoU 0.5 and 0.75 alone.
        ``map_50_voc07``: precision at 11 recalls at IoU 0.5, matched as in VOC 2007, where a box
        stands for the object that it overlaps most, found already or not.
        ``per_class``: ``ap``, ``ap_50``, ``ap_75`` and ``ap_50_voc07``, each (classes,).
        A class without an object that counts has nan and is in no mean; if none has any, all
        means are nan.

    Raises
    ------
    ValueError
        The lists differ in length, or an array in its form, or a score is not a number.

    Notes
    -----
    Lin et al., Microsoft COCO: Common Objects in Context (2014), and its evaluation server;
    Everingham et al., The Pascal Visual Object Classes Challenge (2010), section 4.2. Boxes here
    have no thickness of one pixel, unlike in VOC's own program.
    """
    truth, found = checked(truth, found)
    scores = np.full((4, classes), np.nan)  # ap, ap_50, ap_75, ap_50_voc07
    true_class = sorted_by_class(truth, classes)
    found_class = sorted_by_class(found, classes)
    for k in range(classes):
        pairs = [(t, f) for t, f in zip(true_class[k], found_class[k]) if len(t) or len(f)]
        total = sum(int((t[:, 5] == 0).sum()) for t, _ in pairs)
        if not total:
            continue
        each = precision(joined([matched_coco(t, f) for t, f in pairs]), total, RECALLS)
        voc = joined([matched_voc(t, f) for t, f in pairs])
        scores[:3, k] = each.mean(), each[0], each[5]
        scores[3, k] = precision(voc, total, RECALLS_VOC07)[0]
    counted = ~np.isnan(scores[0])
    means = scores[:, counted].mean(1) if counted.any() else np.full(4, np.nan)
    names = ("", "_50", "_75", "_50_voc07")
    return {
        **{f"map{name}": float(mean) for name, mean in zip(names, means)},
        "per_class": {f"ap{name}": row for name, row in zip(names, scores)},
    }


def checked(
    truth: Sequence[np.ndarray], found: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Both lists as float64 (n, 6) arrays, or ValueError."""
    if len(truth) != len(found):
        raise ValueError(f"boxes were found in {len(found)} images, but {len(truth)} have truth")
    both = []
    for name, images in (("truth", truth), ("found", found)):
        arrays = [np.asarray(image, np.float64) for image in images]
        arrays = [a if a.size else np.zeros((0, 6)) for a in arrays]
        for i, array in enumerate(arrays):
            if array.ndim != 2 or array.shape[1] != 6:
                raise ValueError(f"{name} of image {i} has the shape {array.shape}, not (n, 6)")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} of image {i} has a value that is not a finite number")
        both.append(arrays)
    return both[0], both[1]


def sorted_by_class(images: list[np.ndarray], classes: int) -> list[list[np.ndarray]]:
    """Rows of each class of each image: ``[class][image]`` is (n, 6)."""
    return [[rows[rows[:, 0] == k] for rows in images] for k in range(classes)]


def matched_coco(true: np.ndarray, found: np.ndarray) -> Hits:
    """Match the boxes of one image and class, best score first, as COCO does.

    A box takes the object that it overlaps most, among those that count and are free; only if
    none reaches the threshold, one that does not count.

    Parameters
    ----------
    true, found
        (m, 6) and (p, 6), as `mean_average_precision` takes them.
    """
    found = found[np.argsort(-found[:, 1], kind="stable")][:MOST]
    true = true[np.argsort(true[:, 5] > 0, kind="stable")]  # those that count first
    crowd, counts = true[:, 5] == 2, true[:, 5] == 0
    right = np.zeros((len(THRESHOLDS), len(found)), bool)
    ignored = right.copy()
    overlap = overlaps(found[:, 2:6], true[:, 1:5], crowd)
    taken = np.zeros((len(THRESHOLDS), len(true)), bool)
    every = np.arange(len(THRESHOLDS))
    # a box below the lowest threshold everywhere matches nothing: most are such
    for d in np.flatnonzero((overlap >= THRESHOLDS[0] - SLACK).any(1)):
        able = (overlap[d] >= THRESHOLDS[:, None] - SLACK) & ~(taken & ~crowd)  # (T, m)
        for kind, mark in ((counts, right), (~counts, ignored)):
            fit = np.where(able & kind, overlap[d], -1)
            best = fit.shape[1] - 1 - fit[:, ::-1].argmax(1)  # of equal ones the last, as in COCO
            hit = (fit[every, best] >= 0) & ~right[:, d]
            mark[hit, d] = True
            taken[every[hit], best[hit]] = True
    return Hits(found[:, 1], right, ignored)


def matched_voc(true: np.ndarray, found: np.ndarray) -> Hits:
    """Match the boxes of one image and class at IoU 0.5, as the VOC 2007 programs do.

    A box stands for the object that it overlaps most; it is wrong if that one is found already.
    """
    found = found[np.argsort(-found[:, 1], kind="stable")]
    right = np.zeros((1, len(found)), bool)
    ignored = right.copy()
    if len(true):
        overlap = overlaps(found[:, 2:6], true[:, 1:5], true[:, 5] == 2)  # (p, m)
        best = overlap.argmax(1)
        taken = set()
        for d in np.flatnonzero(overlap.max(1, initial=0) >= THRESHOLDS[0] - SLACK):
            if true[best[d], 5]:
                ignored[0, d] = True
            elif best[d] not in taken:
                taken.add(best[d])
                right[0, d] = True
    return Hits(found[:, 1], right, ignored)


def overlaps(found: np.ndarray, true: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """IoU (p, m); of a crowd, the share of the found box that lies in it."""
    whole = boxes.area(found)[:, None]
    inner = boxes.shared_area(found, true)
    share = np.divide(inner, whole, out=np.zeros_like(inner), where=whole > 0)
    return np.where(crowd, share, boxes.iou(found, true))


def joined(images: list[Hits]) -> Hits:
    """The boxes of all images, best score first; of equal scores in the order of images."""
    scores = np.concatenate([hits.scores for hits in images])
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([hits.right for hits in images], 1)
    ignored = np.concatenate([hits.ignored for hits in images], 1)
    return Hits(scores[order], right[:, order], ignored[:, order])


def precision(hits: Hits, total: int, recalls: np.ndarray) -> np.ndarray:
    """Mean over recalls of the best precision at that recall or more: (T,).

    Parameters
    ----------
    hits
        Of all images.
    total
        Objects that count.
    recalls
        Where precision is read, ascending; 0 is taken where a recall is never reached.
    """
    right = np.cumsum(hits.right, axis=1, dtype=np.float64)  # (T, p)
    wrong = np.cumsum(~hits.right & ~hits.ignored, axis=1, dtype=np.float64)
    recall, exact = right / total, right / (right + wrong + np.spacing(1))
    best = np.maximum.accumulate(exact[:, ::-1], axis=1)[:, ::-1]
    means = np.zeros(len(right))
    for t in range(len(right)):
        places = np.searchsorted(recall[t], recalls, side="left")
        reached = places < recall.shape[1]
        means[t] = best[t, places[reached]].sum() / len(recalls)
    return means
