"""Tests of the pictures of images: what stands where, and that awkward shapes are drawn.

Holds no comparison of pixels with stored pictures: those change with Matplotlib's versions.
"""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from dope.core.plots import ORANGE
from dope.plugins.vision import plots


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, in order."""
    found = []
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda fig, path: (found.append(fig), save(fig, path))[1])
    return found


def words(fig):
    return [text.get_text() for axes in fig.axes for text in axes.texts]


def frames(fig):
    """Left, lower corners of the thick frames."""
    boxes = [p for p in fig.axes[0].patches if isinstance(p, Rectangle) and p.get_linewidth() > 1]
    return [box.get_xy() for box in boxes]


def inside(fig):
    """Whether all text lies within the figure."""
    fig.canvas.draw()
    box = fig.bbox
    found = [t.get_window_extent() for axes in fig.axes for t in axes.texts if t.get_text()]
    return all(b.x0 >= box.x0 and b.x1 <= box.x1 and b.y0 >= 0 and b.y1 <= box.y1 for b in found)


@pytest.mark.parametrize(
    ("n", "channels", "side", "dtype"),
    [(1, 1, 8, "uint8"), (7, 1, 8, "float32"), (40, 1, 28, "uint8"), (5, 3, 224, "float64")],
)
def test_grid_shows_each_image_as_it_is(tmp_path, drawn, n, channels, side, dtype):
    pixels = np.random.default_rng(1).integers(0, 256, (n, channels, side, side), dtype="uint8")
    given = pixels if dtype == "uint8" else (pixels / 255).astype(dtype)
    path = plots.grid(tmp_path / "g.png", given, [f"title {i}" for i in range(n)])
    assert path.read_bytes().startswith(b"\x89PNG")
    (fig,) = drawn
    images = fig.axes[0].images
    assert len(images) == n
    for image, pixel in zip(images, pixels):
        wanted = pixel[0] if channels == 1 else pixel.transpose(1, 2, 0)
        np.testing.assert_allclose(image.get_array(), wanted / 255, atol=1e-6)
        assert image.get_clim() == (0, 1) or channels == 3  # the same black for all
        left, right, lower, upper = image.get_extent()
        assert right - left == pytest.approx(upper - lower)
    assert words(fig) == [f"title {i}" for i in range(n)]
    assert frames(fig) == [] and inside(fig)


def test_grid_marks_wrong_ones_by_sign_text_and_frame(tmp_path, drawn):
    pixels = np.zeros((3, 1, 8, 8), "uint8")
    titles = ["cat  90 %", "dog  60 %", "cat  70 %"]
    plots.grid(tmp_path / "g.png", pixels, titles, [None, "horse", None], "heading")
    (fig,) = drawn
    assert words(fig) == ["cat  90 %", "\u2717 dog  60 %", "is horse", "cat  70 %"]
    colours = [to_hex(text.get_color()).upper() for text in fig.axes[0].texts]
    assert [colour == ORANGE for colour in colours] == [False, True, True, False]
    left, _, lower, _ = fig.axes[0].images[1].get_extent()
    assert frames(fig) == [(left, lower)]
    assert [text.get_text() for text in fig.texts] == ["heading"] and inside(fig)


def test_grid_titles_stay_over_their_images(tmp_path, drawn):
    pixels = np.zeros((12, 3, 224, 224), "float32")
    name = "extraordinarily long name of a class"
    plots.grid(tmp_path / "g.png", pixels, [plots.caption(name, 0.87)] * 12, [name] * 12)
    (fig,) = drawn
    assert inside(fig)
    assert all("87 %" in t for t in words(fig) if t.startswith("\u2717"))
    boxes = [t.get_window_extent() for t in fig.axes[0].texts if t.get_text().startswith("\u2717")]
    rows = {}
    for box in boxes:
        rows.setdefault(round(box.y0), []).append((box.x0, box.x1))
    assert len(boxes) == 12
    for spans in rows.values():
        spans.sort()
        assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:]))


def test_caption_never_says_hundred_percent():
    assert plots.caption("7", 0.994) == "7  99 %"
    assert plots.caption("7", 0.9999) == "7  >99 %"
    assert plots.caption("7", 0.1) == "7  10 %"


def test_confusion_shows_counts_and_shares_of_rows(tmp_path, drawn):
    matrix = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 30]])
    plots.confusion(tmp_path / "c.png", matrix, ["a", "b", "a very long name of a class"])
    axes = drawn[0].axes[0]
    places = {t.get_position(): t.get_text() for t in axes.texts}
    assert places == {(0, 0): "8", (1, 0): "2", (0, 2): "1", (2, 2): "30"}
    wrong, right = (image.get_array() for image in axes.images)
    np.testing.assert_allclose(right.filled(-1), [[0.8, -1, -1], [-1] * 3, [-1, -1, 30 / 31]])
    np.testing.assert_allclose(wrong.filled(-1), [[-1, 0.2, -1], [-1] * 3, [1 / 31, -1, -1]])
    assert axes.get_title(loc="left") == f"accuracy {38 / 41:.4f} on 41 images"
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:2] == ["a", "b"] and len(names[2]) <= plots.LONGEST and "\u2026" in names[2]


@pytest.mark.parametrize(("K", "counted", "named"), [(20, 20, 20), (21, 0, 21), (130, 0, 65)])
def test_confusion_of_many_classes(tmp_path, drawn, K, counted, named):
    plots.confusion(tmp_path / "c.png", np.eye(K, dtype=int), [f"class {i}" for i in range(K)])
    axes = drawn[0].axes[0]
    assert len(axes.texts) == counted
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == named
    drawn[0].canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert all(below.y1 <= above.y0 + 1 for above, below in zip(boxes, boxes[1:]))


def test_confusion_of_nothing(tmp_path, drawn):
    plots.confusion(tmp_path / "c.png", np.zeros((2, 2), int), ["a", "b"])
    assert drawn[0].axes[0].texts[:] == []


def test_filters_share_a_scale_that_is_symmetric(tmp_path, drawn):
    weights = np.random.default_rng(2).normal(size=(20, 1, 5, 5)) + 0.5
    plots.filters(tmp_path / "f.png", weights)
    images = drawn[0].axes[0].images
    assert len(images) == 20
    (limits,) = {image.get_clim() for image in images}
    assert limits[0] == -limits[1] and limits[1] <= np.abs(weights).max()
    np.testing.assert_array_equal(images[3].get_array(), weights[3, 0])


def test_filters_of_three_channels_are_colours_about_grey(tmp_path, drawn):
    weights = np.random.default_rng(3).normal(size=(96, 3, 11, 11))
    plots.filters(tmp_path / "f.png", weights, heading="conv1")
    images = drawn[0].axes[0].images
    assert len(images) == 64
    assert drawn[0].texts[0].get_text() == "conv1, the first 64 of 96"
    shown = np.asarray(images[5].get_array())
    assert shown.min() >= 0 and shown.max() <= 1
    scaled = weights[5] / np.abs(weights[5]).max()
    np.testing.assert_allclose(shown, 0.5 + 0.5 * scaled.transpose(1, 2, 0), atol=1e-6)


def test_filters_of_other_channels_are_shown_one_by_one_and_zeros_are_drawn(tmp_path, drawn):
    plots.filters(tmp_path / "f.png", np.zeros((4, 2, 3, 3)), names=[str(i) for i in range(8)])
    assert len(drawn[0].axes[0].images) == 8
    assert words(drawn[0])[:8] == [str(i) for i in range(8)]


@pytest.mark.parametrize("shape", [(10, 28, 28), (10, 1, 28, 28), (3, 3, 32, 32)])
def test_means_on_one_scale_from_zero_to_one(tmp_path, drawn, shape):
    images = np.random.default_rng(4).uniform(size=shape)
    plots.means(tmp_path / "m.png", images, [f"class {i}" for i in range(shape[0])])
    axes = drawn[0].axes[0]
    assert len(axes.images) == shape[0]
    assert words(drawn[0])[: shape[0]] == [f"class {i}" for i in range(shape[0])]
    if shape[1] != 3:
        assert {image.get_clim() for image in axes.images} == {(0.0, 1.0)}
        np.testing.assert_allclose(axes.images[2].get_array(), images[2].reshape(28, 28))
