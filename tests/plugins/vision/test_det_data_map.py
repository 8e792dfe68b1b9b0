"""Mean average precision against pycocotools, a plain reading of VOC 2007, and small cases.

Holds golden numbers of pycocotools 2.0.11, so that it tests without it; where it is installed,
more scenes are compared. `scene` has to stay as it is: the numbers are of what it draws.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from dope.plugins.vision.average_precision import mean_average_precision

CLASSES = 4
GOLDEN = {  # seed, flags: map, map_50, map_75, ap of each class
    (0, (0,)): [0.1887241, 0.3994908, 0.1947832, 0.2199982, 0.169432, 0.2220092, 0.1434569],
    (1, (0, 0, 0, 2)): [
        0.1643719,
        0.3243048,
        0.1492984,
        0.1855936,
        0.2353628,
        0.1533588,
        0.0831724,
    ],
    (2, (0, 0, 1, 2)): [
        0.1074894,
        0.1857634,
        0.1200438,
        0.1844498,
        0.0834032,
        0.0910173,
        0.0710873,
    ],
    (3, (0,)): [0.0067644, 0.0147679, 0.0054436, 0.006627, 0.0072694, 0.0065244, 0.0066369],
}


def scene(seed, flags=(0,), images=30, crowded=False):
    """Random objects, boxes near them and boxes anywhere, in pixels of 400 and more."""
    rng = np.random.default_rng(seed)
    truth, found = [], []

    def boxes(n):
        corner, sides = rng.uniform(0, 400, (n, 2)), rng.uniform(20, 200, (n, 2))
        return np.concatenate([corner, corner + sides], 1).round(2)

    for _ in range(images):
        m = int(rng.integers(0, 8))
        true = np.column_stack([rng.integers(0, CLASSES, m), boxes(m), rng.choice(flags, m)])
        near = np.repeat(true, rng.integers(0, 3, m), 0)
        moved = near[:, 1:5] + rng.normal(0, 8, (len(near), 4)).round(2)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        kinds = np.where(rng.random(len(near)) < 0.85, near[:, 0], rng.integers(0, CLASSES))
        far = boxes(150 if crowded else int(rng.integers(0, 6)))
        kinds = np.concatenate([kinds, rng.integers(0, CLASSES, len(far))])
        scores = rng.random(len(kinds)).round(2)  # so that some are equal
        truth.append(true.astype(float))
        found.append(np.column_stack([kinds, scores, np.concatenate([moved, far])]))
    return truth, found


def by_pycocotools(truth, found):
    """map, map_50, map_75 and ap of each class. A difficult object has an area out of range."""
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), "pycocotools.cocoeval"
    evaluation = pytest.importorskip(cocoeval).COCOeval
    objects, results = [], []
    for i, (true, boxes) in enumerate(zip(truth, found), 1):
        for k, left, top, right, bottom, flag in true.tolist():
            width, height = right - left, bottom - top
            row = {"id": len(objects) + 1, "image_id": i, "category_id": int(k) + 1}
            row.update(bbox=[left, top, width, height], iscrowd=int(flag == 2))
            objects.append({**row, "area": 1e12 if flag == 1 else width * height})
        for k, score, left, top, right, bottom in boxes.tolist():
            row = {"image_id": i, "category_id": int(k) + 1, "score": score}
            results.append({**row, "bbox": [left, top, right - left, bottom - top]})
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        known.dataset = {
            "images": [{"id": i + 1} for i in range(len(truth))],
            "annotations": objects,
            "categories": [{"id": k + 1} for k in range(CLASSES)],
        }
        known.createIndex()
        made = evaluation(known, known.loadRes(results), "bbox")
        made.evaluate()
        made.accumulate()
        made.summarize()
    each = made.eval["precision"][:, :, :, 0, 2].mean((0, 1))
    return [*made.stats[:3].tolist(), *each.tolist()]


def ours(truth, found):
    figures = mean_average_precision(truth, found, CLASSES)
    return [figures[n] for n in ("map", "map_50", "map_75")] + figures["per_class"]["ap"].tolist()


@pytest.mark.parametrize(("seed", "flags"), list(GOLDEN))
def test_golden_numbers_of_pycocotools(seed, flags):
    truth, found = scene(seed, flags, crowded=seed == 3)
    assert ours(truth, found) == pytest.approx(GOLDEN[seed, flags], abs=1e-6)


@pytest.mark.parametrize("seed", range(10, 22))
def test_agrees_with_pycocotools(seed):
    truth, found = scene(seed, [(0,), (0, 0, 1), (0, 0, 2), (0, 1, 2)][seed % 4])
    assert ours(truth, found) == pytest.approx(by_pycocotools(truth, found), abs=1e-9)


def test_shares_in_single_precision_give_the_same():
    truth, found = scene(5, (0, 2))
    scale = np.array([640, 480, 640, 480])
    small = [np.column_stack([t[:, :1], t[:, 1:5] / scale, t[:, 5:]]) for t in truth]
    less = [np.column_stack([f[:, :2], f[:, 2:] / scale]) for f in found]
    got = ours([t.astype(np.float32) for t in small], [f.astype(np.float32) for f in less])
    assert got == pytest.approx(ours(truth, found), abs=1e-9)


def test_a_box_at_the_threshold_in_single_precision_counts():
    """Boxes of whole pixels of 300 that overlap by exactly a half."""
    truth = [np.array([[0, 70 / 300, 10 / 300, 130 / 300, 50 / 300, 0]], np.float32)]
    found = [np.array([[0, 0.9, 70 / 300, 10 / 300, 100 / 300, 50 / 300]], np.float32)]
    assert mean_average_precision(truth, found, 1)["map_50"] == pytest.approx(1)


def voc07(truth, found, kind):
    """VOC 2007's measure of one class, written out: one box after the other, best score first."""
    rows = [(b[1], i, b[2:]) for i, boxes in enumerate(found) for b in boxes if b[0] == kind]
    rows.sort(key=lambda row: -row[0])
    objects = {i: [t for t in true if t[0] == kind] for i, true in enumerate(truth)}
    total = sum(t[5] == 0 for true in objects.values() for t in true)
    used, right, wrong, points = set(), 0, 0, []
    for _, i, (left, top, rim, base) in rows:
        best, which = 0.0, None
        for j, (_, a, b, c, d, _) in enumerate(objects[i]):
            wide, tall = min(c, rim) - max(a, left), min(d, base) - max(b, top)
            shared = max(wide, 0) * max(tall, 0)
            overlap = shared / ((c - a) * (d - b) + (rim - left) * (base - top) - shared)
            if overlap > best:
                best, which = overlap, j
        if best >= 0.5 and objects[i][which][5]:
            continue
        if best >= 0.5 and (i, which) not in used:
            used.add((i, which))
            right += 1
        else:
            wrong += 1
        points.append((right / total, right / (right + wrong)))
    return sum(max([p for r, p in points if r >= k / 10], default=0) for k in range(11)) / 11


@pytest.mark.parametrize("seed", range(30, 36))
def test_voc07_is_as_written_out(seed):
    truth, found = scene(seed, (0, 0, 1), images=20)
    for image in found:  # no equal scores: their order is nobody's rule
        image[:, 1] += np.random.default_rng(seed).random(len(image)) * 1e-3
    figures = mean_average_precision(truth, found, CLASSES)
    want = [voc07(truth, found, k) for k in range(CLASSES)]
    assert figures["per_class"]["ap_50_voc07"].tolist() == pytest.approx(want, abs=1e-12)
    assert figures["map_50_voc07"] == pytest.approx(np.mean(want), abs=1e-12)


BOX = [10, 10, 50, 50]


def one(found, *true, classes=1):
    return mean_average_precision([np.array(true, float)], [np.array(found, float)], classes)


def test_small_cases_by_hand():
    right, wrong = [0, 0.9, *BOX], [0, 0.8, 60, 60, 90, 90]
    true = [0, *BOX, 0]
    names = ("map", "map_50", "map_75", "map_50_voc07")
    assert [one([right], true)[n] for n in names] == pytest.approx([1] * 4)
    assert [one([right, wrong], true)[n] for n in names] == pytest.approx([1] * 4)
    late = one([[0, 0.1, *BOX], wrong], true)  # half of what was found so far is right
    assert [late[n] for n in names] == pytest.approx([0.5] * 4)
    twice = one([right, [0, 0.8, *BOX]], true, [0, 100, 100, 140, 140, 0])
    assert twice["map_50"] == pytest.approx(51 / 101)  # recall 0 to 0.5, the second is wrong
    assert twice["map_50_voc07"] == pytest.approx(6 / 11)
    assert one([], true)["map"] == 0 and one([wrong], true)["map"] == 0
    loose = one([[0, 0.9, 10, 10, 50, 38]], true)  # IoU 0.7: reached by 5 of 10 thresholds
    assert loose["map"] == pytest.approx(0.5) and loose["map_75"] == 0


def test_what_does_not_count():
    right, other = [0, 0.5, *BOX], [0, 0.9, 100, 100, 140, 140]
    true = [0, *BOX, 0]
    for flag in (1, 2):  # found with the better score, neither right nor wrong
        assert one([right, other], true, [0, 100, 100, 140, 140, flag])["map"] == pytest.approx(1)
        assert np.isnan(one([right], [0, *BOX, flag])["map"])
    inner = [[0, 0.9, 100 + i, 100, 120 + i, 110] for i in range(0, 60, 10)]
    crowd = [0, 100, 100, 200, 200, 2]
    assert one([right, *inner], true, crowd)["map"] == pytest.approx(1)  # a crowd takes them all
    assert one([right, *inner], true, [*crowd[:5], 1])["map"] < 0.2


def test_classes_without_objects_are_in_no_mean():
    figures = one([[0, 0.9, *BOX], [2, 0.9, *BOX]], [0, *BOX, 0], classes=3)
    assert figures["map"] == pytest.approx(1)
    assert np.isnan(figures["per_class"]["ap"]).tolist() == [False, True, True]
    assert np.isnan(mean_average_precision([], [], 2)["map_50_voc07"])


def test_refused():
    with pytest.raises(ValueError, match="2 images, but 1"):
        mean_average_precision([np.zeros((0, 6))], [np.zeros((0, 6))] * 2, 1)
    with pytest.raises(ValueError, match=r"found of image 0 has the shape \(1, 5\)"):
        mean_average_precision([np.zeros((0, 6))], [np.zeros((1, 5))], 1)
    with pytest.raises(ValueError, match="not a finite number"):
        one([[0, np.nan, *BOX]], [0, *BOX, 0])


def test_three_hundred_images_take_less_than_seconds():
    import time

    truth, found = scene(9, (0, 0, 2), images=300)
    begun = time.process_time()
    mean_average_precision(truth, found, CLASSES)
    assert time.process_time() - begun < 3
