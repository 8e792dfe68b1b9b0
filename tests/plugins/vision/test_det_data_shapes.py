"""The generated shapes: boxes against the pixels, seeds, what a network gets, refused options.

Holds no training; how well a network finds them is in the tests of vision.ssd.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dope.core.errors import ConfigError
from dope.plugins.vision import boxes
from dope.plugins.vision.shape_paint import FINE, KINDS, Painter, filled, polygons
from dope.plugins.vision.shapes import Shapes


@pytest.fixture(scope="module")
def made():
    return Shapes(train=60, valid=12, test=6, size=96, classes=8)


def test_parts(made):
    assert made.classes == list(KINDS) and made.shape == (3, 96, 96) and made.most == 4
    for part, n in (("train", 60), ("valid", 12), ("test", 6)):
        assert made.images(part).shape == (n, 96, 96, 3) and made.images(part).dtype == np.uint8
        assert len(made.truth(part)) == n
    assert Shapes(train=2, valid=0, test=0).batches("valid", 2) is None
    counts = [len(found) for found in made.truth("train")]
    assert min(counts) == 1 and max(counts) == 4 and len(set(counts)) == 4
    kinds = np.concatenate(made.truth("train"))[:, 0]
    assert (np.bincount(kinds.astype(int), minlength=8) >= 5).all()
    assert not made.skipped and made.skip_note() == ""


def test_boxes_are_tight_around_what_is_painted():
    """Without textures and grain: every pixel that differs from the ground lies in a box."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        painter, size = Painter(64), 64
        for _ in range(3):
            kind = KINDS[int(rng.integers(8))]
            painter.place(painter.outline(kind, float(rng.uniform(0.15, 0.5)), rng), 0.7)
        owner, edges = painter._owner, painter.boxes() * FINE * size
        for k, (left, top, right, bottom) in enumerate(np.rint(edges).astype(int)):
            seen = owner == k + 1
            assert seen[top:bottom, left:right].sum() == seen.sum() > 0
            assert seen[top].any() and seen[bottom - 1].any()
            assert seen[:, left].any() and seen[:, right - 1].any()
        assert np.allclose(edges, np.rint(edges), atol=1e-9)


def test_objects_show_in_the_image():
    """Inside a box many pixels differ from the ground at the image's edge of that row."""
    data = Shapes(train=40, valid=0, test=0, objects=1, size=128)
    for image, found in zip(data.images("train"), data.truth("train")):
        (_, left, top, right, bottom, flag) = found[0]
        assert flag == 0
        rows, columns = (
            slice(int(top * 128), int(bottom * 128)),
            slice(int(left * 128), int(right * 128)),
        )
        inner = image[rows, columns].reshape(-1, 3).astype(float)
        outer = np.ones((128, 128), bool)
        outer[
            max(0, rows.start - 1) : rows.stop + 2, max(0, columns.start - 1) : columns.stop + 2
        ] = False
        ground = image[outer].astype(float)
        low, high = np.percentile(ground, 1, axis=0), np.percentile(ground, 99, axis=0)
        strange = ((inner < low - 15) | (inner > high + 15)).any(1).mean()
        assert strange > 0.15  # a crescent or a ring fills the least of its box


def test_the_visible_share_is_kept():
    data = Shapes(train=60, valid=0, test=0, objects=6, smallest=0.3, largest=0.5, visible=0.8)
    for found in data.truth("train"):
        overlap = boxes.iou(found[:, 1:5], found[:, 1:5])
        assert (overlap[~np.eye(len(found), dtype=bool)] < 0.75).all()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        painter = Painter(64)
        for _ in range(8):
            painter.place(painter.outline("disc", 0.4, rng), 0.8)
        for k, outline in enumerate(painter._outlines):
            assert (painter._owner == k + 1).sum() >= 0.8 * outline.mask.sum()
    assert sum(len(found) > 1 for found in data.truth("train")) > 20


def test_extents_are_as_asked():
    data = Shapes(train=80, valid=0, test=0, objects=1, smallest=0.2, largest=0.4, size=128)
    found = np.concatenate(data.truth("train"))
    longest = (found[:, 3:5] - found[:, 1:3]).max(1)
    assert longest.min() > 0.19 and longest.max() < 0.41
    assert longest.min() < 0.23 and longest.max() > 0.36
    assert (found[:, 1:3] >= 0).all() and (found[:, 3:5] <= 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_outlines_have_their_area(kind):
    """Points of the grid against the shoelace formula."""
    paths = [80 * (points + 1.5) for points in polygons(kind)]

    def shoelace(p):
        x, y = p.T
        return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2

    low = paths[0].min(0)
    mask = filled([points - low for points in paths])
    if kind == "crescent":  # the second disc reaches beyond the first: count fine cells instead
        y, x = np.mgrid[-1:1:801j, -1:1:801j]
        inside = (x**2 + y**2 < 1) & ((x - 0.5) ** 2 + y**2 > 0.85**2)
        want = inside.mean() * 4 * 80**2
    else:
        want = shoelace(paths[0]) - sum(shoelace(p) for p in paths[1:])
    assert mask.sum() == pytest.approx(want, rel=0.03)
    assert mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()


def test_the_same_seed_draws_the_same():
    a, b = Shapes(train=4, valid=2, test=2), Shapes(train=7, valid=2, test=2)
    assert (a.images("train") == b.images("train")[:4]).all()
    assert all((x == y).all() for x, y in zip(a.truth("valid"), b.truth("valid")))
    assert (Shapes(train=4, seed=1).images("train") != a.images("train")).any((1, 2, 3)).all()
    assert (a.images("valid") != a.images("train")[:2]).any((1, 2, 3)).all()


def test_what_a_network_gets(made):
    rng = np.random.default_rng(0)
    (images, labels), *_ = list(made.batches("valid", 12).epoch())
    images, labels = images.asnumpy(), labels.asnumpy()
    assert images.shape == (12, 3, 96, 96) and images.dtype == np.float32
    assert labels.shape == (12, 4, 5) and labels.dtype == np.float32
    assert np.allclose(images * 255, made.images("valid").transpose(0, 3, 1, 2), atol=1e-4)
    for rows, found in zip(labels, made.truth("valid")):
        assert (rows[: len(found)] == found[:, :5]).all() and (rows[len(found) :] == -1).all()
    varied = next(iter(made.batches("valid", 12).epoch(rng)))[0].asnumpy()
    assert (varied == images).all()  # only training images are varied
    train = made.batches("train", 60)
    x, y = (a.asnumpy() for a in next(train.epoch(np.random.default_rng(1))))
    again = next(train.epoch(np.random.default_rng(1)))[0].asnumpy()
    assert (x == again).all() and x.min() >= 0 and x.max() <= 1
    real = y[y[..., 0] >= 0]
    assert (real[:, 1:] >= 0).all() and (real[:, 1:] <= 1).all()
    assert (boxes.area(real[:, 1:]) > 0).all()
    first = (y[..., 0] >= 0).sum(1)
    for rows, n in zip(y, first):
        assert (rows[:n, 0] >= 0).all() and (rows[n:] == -1).all()
    plain = Shapes(train=60, size=96, classes=8, augment=False).batches("train", 60)
    fixed = next(plain.epoch(np.random.default_rng(1)))[0].asnumpy()
    assert {i.tobytes() for i in np.rint(fixed * 255).astype(np.uint8)} == {
        i.transpose(2, 0, 1).tobytes() for i in made.images("train")
    }


def test_normalized_inputs():
    data = Shapes(train=2, normalize=True)
    pixels = data.images("train")
    want = (pixels / 255 - np.array(data.mean)) / np.array(data.std)
    assert np.allclose(data.to_input(pixels), want.transpose(0, 3, 1, 2), atol=1e-5)


def test_any_image_is_stretched(tmp_path, made):
    wide = np.zeros((50, 200, 3), np.uint8)
    wide[:, :100] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    found = made.from_image(tmp_path / "wide.png")
    assert found.shape == (96, 96, 3)
    assert (found[:, :46] == 255).all() and (found[:, 50:] == 0).all()
    with pytest.raises(ConfigError, match=r"there is no image .*none\.png"):
        made.from_image(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 0}, "dataset.classes is 0"),
        ({"classes": 9}, "between 1 and 8"),
        ({"train": 0}, "dataset.train is 0"),
        ({"objects": 0}, "dataset.objects is 0"),
        ({"smallest": 0.5, "largest": 0.4}, "dataset.smallest is 0.5"),
        ({"visible": 0.1}, "dataset.visible is 0.1"),
        ({"size": 16}, "dataset.size is 16"),
        ({"crop": 1.5}, "dataset.crop is 1.5"),
        ({"jitter": 1.0}, "dataset.jitter is 1.0"),
    ],
)
def test_refused_options(options, said):
    with pytest.raises(ConfigError, match=said):
        Shapes(**options)
