"""Default boxes, matching, offsets, losses and suppression against NumPy written out box by box.

Holds nothing of the task; that is in ``test_ssd_task.py``.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.core.errors import ConfigError
from dope.plugins.vision import anchors, matching, nms, ssd_losses
from dope.plugins.vision.ssd_net import SSD

SIZES = [[0.2, 0.272], [0.37, 0.447], [0.54, 0.619], [0.71, 0.79], [0.88, 0.961]]
RATIOS = [1.0, 2.0, 0.5]


def boxes_of(height: int, width: int) -> np.ndarray:
    return anchors.all_boxes(anchors.scales(height, width, 3), SIZES, RATIOS)


def overlap(a, b) -> float:
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = across * down
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def some_labels(rng: np.random.Generator, n: int = 12, most: int = 4) -> np.ndarray:
    """Objects of any size and place; some images have none."""
    labels = np.full((n, most, 5), -1, np.float32)
    for i in range(n):
        for j in range(i % (most + 1)):
            centre, half = rng.random(2), rng.uniform(0.03, 0.3, 2)
            labels[i, j, 0] = rng.integers(5)
            labels[i, j, 1:] = np.clip(np.r_[centre - half, centre + half], 0, 1)
    return labels


def test_there_are_as_many_default_boxes_as_in_the_book():
    assert len(boxes_of(256, 256)) == 5444
    assert len(boxes_of(128, 128)) == 4 * (16**2 + 8**2 + 4**2 + 2**2 + 1)
    # the book prints these of its network on 256 x 256
    printed = [
        [-0.084375, -0.084375, 0.115625, 0.115625],
        [-0.12037501, -0.12037501, 0.15162501, 0.15162501],
        [-0.12579636, -0.05508568, 0.15704636, 0.08633568],
    ]
    np.testing.assert_allclose(boxes_of(256, 256)[:3], printed, atol=1e-6)
    last = [[0.0195, 0.0195, 0.9805, 0.9805], [-0.12225395, 0.18887302, 1.12225389, 0.81112695]]
    np.testing.assert_allclose(boxes_of(256, 256)[-3:-1], last, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (64, 128), (100, 130)])
def test_default_boxes_are_those_of_loops_and_of_mxnet(height, width):
    rows, theirs = [], []
    for (h, w), sizes in zip(anchors.scales(height, width, 3), SIZES):
        for i in range(h):
            for j in range(w):
                pairs = [(s, 1.0) for s in sizes] + [(sizes[0], 2.0), (sizes[0], 0.5)]
                for s, r in pairs:
                    y, x = (i + 0.5) / h, (j + 0.5) / w
                    dy, dx = s / math.sqrt(r) / 2, s * math.sqrt(r) * h / w / 2
                    rows.append((x - dx, y - dy, x + dx, y + dy))
        theirs.append(nd.contrib.MultiBoxPrior(nd.zeros((1, 1, h, w)), sizes=sizes, ratios=RATIOS))
    np.testing.assert_allclose(boxes_of(height, width), rows, atol=1e-6)
    mxnet = np.concatenate([each.asnumpy()[0] for each in theirs])
    np.testing.assert_allclose(boxes_of(height, width), mxnet, atol=1e-6)


def test_a_box_survives_being_coded():
    rng = np.random.default_rng(3)
    own = boxes_of(128, 128)
    centre = rng.random((len(own), 2))
    half = rng.uniform(0.01, 0.5, (len(own), 2))
    given = np.concatenate([centre - half, centre + half], -1).astype(np.float32)
    again = matching.decode(matching.encode(given, own), own)
    assert np.abs(again - given).max() < 1e-5


def test_offsets_are_those_of_the_paper():
    default, box = np.array([0.1, 0.2, 0.5, 0.4]), np.array([0.2, 0.1, 0.4, 0.5])
    # centres (0.3, 0.3) both; widths 0.4 and 0.2, heights 0.2 and 0.4
    wanted = [0, 0, math.log(0.5) / 0.2, math.log(2) / 0.2]
    np.testing.assert_allclose(matching.encode(box, default), wanted, atol=1e-6)
    moved = box + np.array([0.04, 0.02, 0.04, 0.02])
    np.testing.assert_allclose(matching.encode(moved, default)[:2], [1.0, 1.0], atol=1e-6)


def matched_slowly(own, objects, threshold):
    """The rule of `matching.match`, pair by pair."""
    table = [[overlap(a, o[1:]) for o in objects] for a in own]
    found = [-1] * len(own)
    for a, row in enumerate(table):
        best = max(range(len(row)), key=row.__getitem__, default=None)
        if best is not None and row[best] >= threshold:
            found[a] = best
    free, waiting = set(range(len(own))), set(range(len(objects)))
    while waiting:
        a, m = max(((a, m) for a in free for m in waiting), key=lambda p: table[p[0]][p[1]])
        found[a] = m
        free.remove(a)
        waiting.remove(m)
    return found


def test_targets_are_those_of_loops():
    labels = some_labels(np.random.default_rng(0))
    own = boxes_of(64, 64)
    classes, offsets = matching.targets(own, labels, 0.5)
    assert classes.dtype == offsets.dtype == np.float32
    for i, rows in enumerate(labels):
        objects = [row for row in rows if row[0] >= 0]
        found = matched_slowly(own, objects, 0.5)
        kinds = [0 if m < 0 else objects[m][0] + 1 for m in found]
        assert classes[i].tolist() == kinds
        for a, m in enumerate(found):
            wanted = np.zeros(4) if m < 0 else matching.encode(objects[m][1:], own[a])
            np.testing.assert_allclose(offsets[i, a], wanted, atol=1e-5)
    assert (classes > 0).any(axis=1).sum() == (labels[:, 0, 0] >= 0).sum()


def test_targets_are_mxnets_but_for_images_without_objects():
    labels = some_labels(np.random.default_rng(1))
    own = boxes_of(128, 128)
    classes, offsets = matching.targets(own, labels, 0.5)
    scores = nd.zeros((len(labels), 6, len(own)))
    theirs, _, kinds = nd.contrib.MultiBoxTarget(nd.array(own[None]), nd.array(labels), scores)
    some = labels[:, 0, 0] >= 0
    assert (kinds.asnumpy()[some] == classes[some]).all()
    np.testing.assert_allclose(theirs.asnumpy().reshape(offsets.shape), offsets, atol=2e-6)
    # MXNet says -1 there, "not to be judged": all of such an image is background
    assert (kinds.asnumpy()[~some] == -1).all() and (classes[~some] == 0).all()


def suppressed_slowly(probabilities, offsets, own, threshold, limit):
    """What `nms.detect` is to find in one image, box by box."""
    found = []
    for a, row in enumerate(probabilities):
        k = int(np.argmax(row[1:]))
        if row[k + 1] >= threshold:
            box = np.clip(matching.decode(offsets[a], own[a]), 0, 1)
            found.append((k, float(row[k + 1]), *box))
    found.sort(key=lambda row: -row[1])
    kept = []
    for row in found[: nms.MOST]:
        if all(row[0] != k[0] or overlap(row[2:], k[2:]) < limit for k in kept):
            kept.append(row)
    return kept


@pytest.mark.parametrize("threshold", [0.02, 0.3])
def test_suppression_is_that_of_loops(threshold):
    rng = np.random.default_rng(4)
    own = boxes_of(64, 64)
    scores = (2.5 * rng.normal(size=(3, len(own), 4))).astype(np.float32)
    offsets = rng.normal(size=(3, len(own), 4)).astype(np.float32)
    scores[2, :, 0] = 50  # nothing is found in the last image
    found = nms.read(
        nms.detect(nd.array(scores), nd.array(offsets), own, threshold=threshold, overlap=0.45)
    )
    likely = np.exp(scores - scores.max(-1, keepdims=True))
    likely /= likely.sum(-1, keepdims=True)
    for i in range(3):
        wanted = suppressed_slowly(likely[i], offsets[i], own, threshold, 0.45)
        assert len(found[i]) == len(wanted)
        if wanted:
            np.testing.assert_allclose(found[i], wanted, atol=1e-5)
    assert len(found[0]) > 20 and len(found[2]) == 0


def test_focal_loss_is_its_formula():
    rng = np.random.default_rng(5)
    scores, classes = rng.normal(size=(3, 50, 4)), rng.integers(0, 4, (3, 50))
    p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    right = np.take_along_axis(p, classes[..., None], -1)[..., 0]
    weight = np.where(classes > 0, 0.25, 0.75)
    wanted = -(weight * (1 - right) ** 2 * np.log(right)).sum(1)
    loss = ssd_losses.Focal(gamma=2.0, objects=0.25, background=0.75)
    found = loss(nd.array(scores), nd.array(classes)).asnumpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    plain = ssd_losses.Focal(gamma=0.0)(nd.array(scores), nd.array(classes)).asnumpy()
    np.testing.assert_allclose(plain, -np.log(right).sum(1), rtol=1e-5)


def test_focal_loss_has_a_gradient_where_it_is_quite_right():
    scores = nd.array([[[60.0, 0.0], [0.0, 60.0]]])
    scores.attach_grad()
    with mx.autograd.record():
        loss = ssd_losses.Focal(gamma=1.5)(scores, nd.array([[0, 1]]))
    loss.backward()
    assert np.isfinite(scores.grad.asnumpy()).all() and np.isfinite(loss.asnumpy()).all()


def test_hard_negatives_are_three_for_each_object():
    rng = np.random.default_rng(6)
    scores = rng.normal(size=(4, 60, 3))
    classes = np.zeros((4, 60))
    classes[0, :5], classes[1, 7] = 1, 2  # none in the others
    logs = np.log(np.exp(scores) / np.exp(scores).sum(-1, keepdims=True))
    each = -np.take_along_axis(logs, classes.astype(int)[..., None], -1)[..., 0]
    wanted = []
    for row, kinds in zip(each, classes):
        hard = sorted(row[kinds == 0], reverse=True)[: max(3, 3 * int((kinds > 0).sum()))]
        wanted.append(row[kinds > 0].sum() + sum(hard))
    found = ssd_losses.HardNegatives()(nd.array(scores), nd.array(classes)).asnumpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize(("side", "count"), [(64, 344), (96, 764), (128, 1364), (256, 5444)])
def test_the_network_speaks_of_every_default_box(side, count):
    set_ = SimpleNamespace(shape=(3, side, side), classes=["a", "b"])
    net = SSD(set_, body=(4, 4, 4), stages=(4, 4, 4), depth=1)
    net.initialize()
    scores, offsets = net(nd.zeros((2, 3, side, side)))
    assert scores.shape == (2, count, 3) and offsets.shape == (2, count, 4)
    assert net.anchors.shape == (count, 4)


def test_a_score_belongs_to_the_place_of_its_default_box():
    """Something bright in one corner changes the scores of the boxes around it most."""
    set_ = SimpleNamespace(shape=(3, 128, 128), classes=["a"])
    net = SSD(set_, body=(8, 8, 8), stages=(8, 8, 8), depth=1, norm="none")
    mx.random.seed(1)
    net.initialize()
    image = np.zeros((1, 3, 128, 128), np.float32)
    image[:, :, 8:16, 96:104] = 5  # rows 8 to 16: high; columns 96 to 104: to the right
    plain = net(nd.zeros_like(nd.array(image)))[0].asnumpy()
    change = np.abs(net(nd.array(image))[0].asnumpy() - plain).sum(-1)[0][: 16 * 16 * 4]
    box = net.anchors[change.argmax()]
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    assert abs(x - 100 / 128) < 0.13 and abs(y - 12 / 128) < 0.13


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"stages": (8, 8)}, "model.stages"),
        ({"sizes": [[0.1]] * 4}, "model.sizes"),
        ({"sizes": [[0.1]] * 4 + [[]]}, "model.sizes"),
        ({"depth": 0}, "model.depth"),
        ({"ratios": (1.0, 0.0)}, "model.ratios"),
        ({"body": (8, 8, 8, 8)}, "too small"),
    ],
)
def test_what_makes_no_detector_is_refused(options, named):
    with pytest.raises(ConfigError, match=named):
        SSD(SimpleNamespace(shape=(3, 64, 64), classes=["a"]), **options)
