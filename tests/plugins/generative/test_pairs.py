"""Sets of pairs: folders, archives and drawn houses; and the figures that compare pictures.

Holds no networks.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dope.core.backend import nd
from dope.core.errors import ConfigError
from dope.plugins.generative.houses import Houses
from dope.plugins.generative.paint import LABELS
from dope.plugins.generative.pairs import Facades, Maps, Pairs, to_input, to_pixels
from dope.plugins.generative.quality import absolute, psnr, ssim


def written(folder, count, first=0, size=(128, 64)):
    """Pairs whose left half is red of strength i and whose right half is green of strength i."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        pixels[:, : size[0] // 2, 0] = pixels[:, size[0] // 2 :, 1] = i + 1
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")


def test_folders_for_parts_are_the_parts(tmp_path):
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        written(tmp_path / part, count)
    found = Pairs(path=tmp_path)
    assert [len(found.split(part)[0]) for part in ("train", "valid", "test")] == [3, 2, 1]
    a, b = found.split("train")
    assert a.shape == b.shape == (3, 3, 64, 64) and a.dtype == np.uint8
    assert (a[1] == np.array([2, 0, 0])[:, None, None]).all()
    assert (b[1] == np.array([0, 2, 0])[:, None, None]).all()


def test_direction_swaps_input_and_target(tmp_path):
    written(tmp_path / "train", 2)
    one, other = (Pairs(path=tmp_path, direction=d).split("train") for d in ("a_to_b", "b_to_a"))
    assert (one[0] == other[1]).all() and (one[1] == other[0]).all()


def test_a_share_is_held_out_where_there_are_no_parts(tmp_path):
    written(tmp_path, 10)
    found = Pairs(path=tmp_path, holdout=0.3)
    train, valid = (found.split(part)[0][:, 0, 0, 0] for part in ("train", "valid"))
    assert len(train) == 7 and sorted([*train, *valid]) == list(range(1, 11))
    assert found.split("test") is None
    again = Pairs(path=tmp_path, holdout=0.3).split("valid")[0][:, 0, 0, 0]
    assert again.tolist() == valid.tolist()
    assert Pairs(path=tmp_path, holdout=0.0).split("valid") is None


def test_both_images_are_cut_and_turned_alike(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    (tmp_path / "train").mkdir()
    Image.fromarray(np.concatenate([pixels, pixels], axis=1)).save(tmp_path / "train" / "0.png")
    found = Pairs(path=tmp_path, jitter=16)
    whole = found.split("train")[0][0]
    places = set()
    for seed in range(40):
        x, y = found.transform(found.split("train"), np.random.default_rng(seed))
        assert (x == y).all() and x.shape == (1, 3, 64, 64)
        here = [
            (turned, i, j)
            for turned in (False, True)
            for i in range(17)
            for j in range(17)
            if (to_pixels(x[0, :, :, ::-1] if turned else x[0]) == cut(whole, i, j)).all()
        ]
        assert len(here) == 1
        places.add(here[0])
    assert len(places) > 30 and {turned for turned, _, _ in places} == {False, True}
    (still, _) = found.transform(found.split("train"), None)
    assert (to_pixels(still[0]) == cut(whole, 8, 8)).all()


def cut(image, y, x):
    return image[:, y : y + 64, x : x + 64]


def test_bytes_and_values_are_each_others_inverse():
    pixels = np.arange(256, dtype=np.uint8)
    values = to_input(pixels)
    assert values[0] == -1 and values[255] == 1 and values.dtype == np.float32
    assert (to_pixels(values) == pixels).all()
    assert to_pixels(np.array([-3.0, 3.0])).tolist() == [0, 255]


def test_a_missing_archive_says_where_it_is_and_where_it_goes(tmp_path):
    with pytest.raises(ConfigError) as caught:
        Maps(path=tmp_path / "maps").split("train")
    assert "there is no folder" in caught.value.message
    assert "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/maps.tar.gz" in caught.value.hint
    assert f"-C {tmp_path}" in caught.value.hint


def test_facades_paint_labels(tmp_path):
    written(tmp_path / "train", 1)
    labels, photograph = Facades(path=tmp_path).split("train")
    assert labels[0, 1].max() == 1 and photograph[0, 0].max() == 1


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(ConfigError, match="no training images"):
        Pairs(path=tmp_path).split("train")


@pytest.mark.parametrize(
    "options",
    [{"size": 100}, {"size": 32}, {"size": 1024}, {"jitter": -1}, {"train": 0}, {"seed": -1}],
)
def test_houses_refuse_what_cannot_be(options):
    ((name, value),) = options.items()
    with pytest.raises(ConfigError, match=f"dataset.{name} is {value}"):
        Houses(**options)


def test_the_same_seed_draws_the_same_houses_and_another_others():
    one, same, other = (Houses(train=3, valid=2, seed=s).split("train") for s in (0, 0, 1))
    assert (one[0] == same[0]).all() and (one[1] == same[1]).all()
    assert (one[0] != other[0]).any()
    few, many = (Houses(train=n, valid=2).split("train")[1] for n in (1, 3))
    assert (few[0] == many[0]).all()  # fewer houses are the first ones
    held = Houses(train=3, valid=3).split("valid")[0]
    assert not any((a == b).all() for a in one[0] for b in held)


def test_labels_have_the_colours_of_labels_only():
    labels, pictures = Houses(train=6, valid=1).split("train")
    found = {tuple(c) for c in labels.transpose(0, 2, 3, 1).reshape(-1, 3).tolist()}
    assert found <= set(LABELS.values()) and len(found) >= 9
    assert len(np.unique(pictures)) > 150


def test_a_layout_does_not_depend_on_the_size():
    small, large = (Houses(train=2, valid=1, size=s).split("train")[0] for s in (64, 256))
    same = (large[:, :, ::4, ::4] == small).all(axis=1).mean()
    assert same > 0.93  # but for edges


def test_brick_walls_are_red_and_shadows_fall_to_the_right():
    labels, pictures = (x.transpose(0, 2, 3, 1) for x in Houses(train=40, valid=1).split("train"))
    day = (labels == LABELS["sky"]).all(axis=-1).any(axis=(1, 2))
    brick = (labels == LABELS["brick"]).all(axis=-1)
    red, green, blue = pictures[day][brick[day]].mean(axis=0)
    assert red > 1.4 * green > 1.4 * blue
    pane = (labels == LABELS["pane"]).all(axis=-1)
    left = pane & ~np.roll(pane, 1, axis=2)  # the first pixel of each pane, below its frame
    right = pane & ~np.roll(pane, -1, axis=2)
    light = pictures.mean(axis=-1)
    assert light[day][left[day]].mean() < 0.9 * light[day][right[day]].mean()


def pictures():
    y, x = np.mgrid[:24, :20]
    a = np.stack([0.5 + 0.4 * np.sin(0.3 * x + 0.2 * y * c) for c in (1, 2, 3)])
    b = np.clip(a.astype(np.float32) + 0.1 * np.cos(0.9 * x * y / 7), 0, 1)
    return a.astype(np.float32), b.astype(np.float32)


def test_quality_is_scikit_images():
    """scikit-image 0.26.0 on the same arrays.

    structural_similarity(a, b, data_range=1, gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, channel_axis=0) and peak_signal_noise_ratio(a, b, data_range=1),
    for (a, b) and (a, 1 - a).
    """
    a, b = pictures()
    one, other = nd.array(np.stack([a, a])), nd.array(np.stack([b, 1 - a]))
    np.testing.assert_allclose(ssim(one, other).asnumpy(), [0.90872556, -0.6973438], rtol=2e-5)
    expected = [22.75800176279519, 4.934596598330366]
    np.testing.assert_allclose(psnr(one, other).asnumpy(), expected, rtol=1e-5)
    expected = [np.abs(a - b).mean(), np.abs(2 * a - 1).mean()]
    np.testing.assert_allclose(absolute(one, other).asnumpy(), expected, rtol=1e-5)


def test_equal_pictures():
    a = nd.array(pictures()[0][None])
    assert ssim(a, a).asscalar() == pytest.approx(1, abs=1e-6)
    assert psnr(a, a).asscalar() == pytest.approx(100, abs=1e-3)
