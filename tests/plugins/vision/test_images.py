"""Image sets: options, parts, scaling, batches, reading any image file; the digits that ship.

Holds tests of the base class and of `Digits`; the sets read from files are tested in their own.
"""

from __future__ import annotations

import hashlib
from typing import Optional

import numpy as np
import pytest
from PIL import Image

from dope.core.configuring.signature import signature
from dope.core.errors import ConfigError, DataError
from dope.core.pictures import read_image
from dope.plugins.vision.digits import FILE, Digits, enlarge
from dope.plugins.vision.images import ImageSet, stratified


class Made(ImageSet):
    """Ten training and four test images whose every pixel is the image's number."""

    classes = ["even", "odd"]
    shape = (3, 4, 5)
    mean = (0.1, 0.2, 0.3)
    std = (0.5, 0.25, 2.0)
    reads = 0

    def read(self):
        self.reads += 1
        pixels = (
            np.ones((14, 3, 4, 5), np.uint8) * np.arange(14, dtype=np.uint8)[:, None, None, None]
        )
        labels = (np.arange(14) % 2).astype(np.int32)
        return {"train": (pixels[:10], labels[:10]), "test": (pixels[10:], labels[10:])}

    def augment(self, pixels, rng):
        return pixels + rng.integers(100, 200, (len(pixels), 1, 1, 1)).astype(np.uint8)


def numbers(part):
    return part[0][:, 0, 0, 0].tolist()


# Parts and options


def test_parts_are_read_once_and_only_when_asked():
    made = Made()
    assert made.reads == 0
    pixels, labels = made.split("train")
    assert pixels.dtype == np.uint8 and pixels.shape == (10, 3, 4, 5)
    assert labels.dtype == np.int32 and labels.tolist() == [0, 1] * 5
    assert numbers(made.split("test")) == [10, 11, 12, 13]
    assert made.split("valid") is None and made.batches("valid", 4) is None
    assert made.reads == 1
    with pytest.raises(ValueError, match="no part 'validation'"):
        made.split("validation")


@pytest.mark.parametrize(
    ("options", "train", "valid", "test"),
    [
        ({"train": 4}, [0, 1, 2, 3], None, [10, 11, 12, 13]),
        ({"test": 3}, list(range(10)), None, [11, 12, 13]),
        ({"valid": 0.2}, list(range(8)), [8, 9], [10, 11, 12, 13]),
        ({"train": 4, "valid": 0.25, "test": 1}, [0, 1, 2], [3], [13]),
        ({"train": 10, "test": 4}, list(range(10)), None, [10, 11, 12, 13]),
    ],
)
def test_first_training_last_validation_last_test_images(options, train, valid, test):
    made = Made(**options)
    assert numbers(made.split("train")) == train
    assert (made.split("valid") and numbers(made.split("valid"))) == valid
    assert numbers(made.split("test")) == test


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"train": 0}, "dataset.train"),
        ({"test": -1}, "dataset.test"),
        ({"valid": 1.0}, "dataset.valid"),
        ({"valid": -0.1}, "dataset.valid"),
        ({"valid": float("nan")}, "dataset.valid"),
        ({"train": 11}, "dataset.train=11"),
        ({"test": 5}, "dataset.test=5"),
        ({"valid": 0.01}, "dataset.valid=0.01"),
        ({"train": 1, "valid": 0.9}, "dataset.valid=0.9"),
    ],
)
def test_impossible_options_are_named(options, name):
    with pytest.raises(ConfigError, match=name) as caught:
        Made(**options).split("train")
    assert caught.value.hint and "\n" not in str(caught.value)


def test_options_of_a_set_are_read_without_importing_it():
    found = signature("dope.plugins.vision.digits:Digits").options
    assert list(found) == ["size", "train", "test", "valid", "normalize"]
    assert all(option.description for option in found.values())
    assert found["train"].annotation == Optional[int] and found["valid"].default == 0.0


# Scaling and batches


def test_pixels_become_float32_divided_by_255():
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    inputs = Digits().to_input(pixels)
    assert inputs.dtype == np.float32 and inputs.flags.c_contiguous
    np.testing.assert_array_equal(inputs, (np.arange(256) / 255).astype("f4").reshape(4, 1, 8, 8))
    turned = Digits().to_input(np.asfortranarray(pixels))
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, inputs)


def test_normalize_is_by_colour():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)
    want = (pixels / 255 - np.reshape([0.1, 0.2, 0.3], (3, 1, 1))) / np.reshape(
        [0.5, 0.25, 2.0], (3, 1, 1)
    )
    got = Made(normalize=True).to_input(pixels)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_training_chunks_are_augmented_and_others_are_not():
    made = Made()
    part = made.split("train")
    before = part[0].copy()
    plain, labels = made.transform(part, None)
    np.testing.assert_array_equal(plain, made.to_input(part[0]))
    assert labels.dtype == np.float32 and labels.tolist() == part[1].tolist()
    varied, _ = made.transform(part, np.random.default_rng(5))
    again, _ = made.transform(part, np.random.default_rng(5))
    other, _ = made.transform(part, np.random.default_rng(6))
    np.testing.assert_array_equal(varied, again)
    assert (varied >= 100 / 255).all() and (varied != other).any()
    np.testing.assert_array_equal(part[0], before)


def test_batches_hold_each_image_once_and_only_training_is_shuffled():
    made = Digits(train=100)
    seen = [
        (x.asnumpy(), y.asnumpy())
        for x, y in made.batches("train", 32).epoch(np.random.default_rng(1))
    ]
    assert [len(x) for x, _ in seen] == [32, 32, 32, 4]
    assert all(x.dtype == np.float32 and y.dtype == np.float32 for x, y in seen)
    inputs, labels = (np.concatenate(column) for column in zip(*seen))
    pixels, marks = made.split("train")
    want = made.to_input(pixels)
    assert (inputs != want).any()

    def rows(x, y):
        return sorted((*row.ravel().tolist(), label) for row, label in zip(x, y))

    assert rows(inputs, labels) == rows(want, marks)
    for split in ("train", "test"):  # without a generator the order stays
        shown = [(x.asnumpy(), y.asnumpy()) for x, y in made.batches(split, 50)]
        pixels, marks = made.split(split)
        np.testing.assert_array_equal(np.concatenate([x for x, _ in shown]), made.to_input(pixels))
        np.testing.assert_array_equal(np.concatenate([y for _, y in shown]), marks)


# Image files


@pytest.fixture
def save(tmp_path):
    def write(pixels, name="a.png", **options):
        path = tmp_path / name
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        image.save(path, **options)
        return path

    return write


def test_an_image_of_the_right_size_is_kept_bit_by_bit(save):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    found = read_image(save(pixels), (3, 6, 9))
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    np.testing.assert_array_equal(found, pixels.transpose(2, 0, 1))


def test_gray_is_the_luma_of_colour_and_colour_repeats_gray(save):
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    found = read_image(save(colours), (1, 1, 3))
    assert found.tolist() == [[[76, 150, 29]]]  # ITU-R 601: 0.299, 0.587, 0.114
    gray = np.array([[7, 200]], np.uint8)
    assert read_image(save(gray), (3, 1, 2)).tolist() == [[[7, 200]]] * 3


def test_shrinking_averages_and_does_not_pick(save):
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found = read_image(save(board), (1, 8, 8))
    assert found.min() >= 120 and found.max() <= 135


def test_the_centre_of_a_wide_image_is_taken(save):
    wide = np.zeros((10, 40), np.uint8)
    wide[:, 15:25] = 200
    assert (read_image(save(wide), (1, 10, 10)) == 200).all()
    assert (read_image(save(wide.T.copy()), (1, 10, 10)) == 200).all()


def test_what_is_transparent_is_white(save):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (10, 20, 30, 255)
    found = read_image(save(pixels), (3, 2, 2))
    assert found[:, 0, 0].tolist() == [10, 20, 30] and (found[:, 1, 1] == 255).all()
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([9, 9, 9, 50, 60, 70])
    found = read_image(save(palette, "p.png", transparency=0), (3, 1, 2))
    assert found[:, 0].tolist() == [[255, 50], [255, 60], [255, 70]]


def test_sixteen_bits_are_scaled_and_not_clipped(save):
    deep = np.array([[0, 256, 32768, 65535]], np.uint16)
    assert read_image(save(deep), (1, 1, 4)).tolist() == [[[0, 1, 128, 255]]]


def test_a_photo_is_turned_as_its_tag_says(save):
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:8] = 255
    tags = Image.Exif()
    tags[0x0112] = 3  # upside down
    found = read_image(save(picture, "a.jpg", quality=95, exif=tags), (1, 16, 16))[0]
    assert found[:6].max() < 30 and found[-6:].min() > 225


def test_a_large_jpeg_is_as_when_decoded_whole(save):
    ramp = np.tile(np.linspace(0, 255, 1024).astype(np.uint8), (1024, 1))
    path = save(ramp, "ramp.jpg", quality=95)
    want = np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BILINEAR))
    found = read_image(path, (1, 32, 32))[0]
    assert np.abs(found.astype(int) - want).max() <= 2


def test_a_set_opens_images_in_its_own_form(save):
    found = Digits(size=12).from_image(str(save(np.full((30, 40, 3), 90, np.uint8))))
    assert found.shape == (1, 12, 12) and found.dtype == np.uint8 and (found == 90).all()


@pytest.mark.parametrize(
    "name", ["no.png", "folder", "text.png", "cut.png", "cut.jpg", "empty.gif"]
)
def test_unreadable_images_are_named(save, tmp_path, name):
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name == "text.png":
        path.write_text("not an image")
    elif name == "empty.gif":
        path.touch()
    elif name != "no.png":
        save(np.random.default_rng(0).integers(0, 256, (50, 50), dtype=np.uint8), name)
        path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ConfigError) as caught:
        Digits().from_image(path)
    assert str(path) in caught.value.message and caught.value.hint
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError):
        read_image(path, (1, 8, 8))


# The stratified draw


def test_each_class_gives_its_share_and_every_row_is_somewhere():
    labels = np.repeat([0, 1, 2, 3], [100, 50, 7, 1])
    kept, held = stratified(labels, 0.2, 3)
    assert sorted([*kept, *held]) == list(range(158))
    assert np.bincount(labels[held], minlength=4).tolist() == [20, 10, 1, 0]
    again = stratified(labels, 0.2, 3)
    assert (again[0] == kept).all() and (again[1] == held).all()
    assert (stratified(labels, 0.2, 4)[1] != held).any()
    assert len(stratified(labels, 0.0, 3)[1]) == 0
    assert labels[kept].tolist() != sorted(labels[kept])  # not class by class


# Digits


def test_digits_are_the_published_ones():
    with np.load(FILE, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    # sklearn.datasets.load_digits() of scikit-learn 1.9.1, images and target as uint8:
    # hashlib.sha256(images.tobytes()).hexdigest()
    assert images.shape == (1797, 8, 8) and images.sum() == 561718 and images.max() == 16
    assert hashlib.sha256(images.tobytes()).hexdigest() == (
        "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
    )
    assert hashlib.sha256(labels.tobytes()).hexdigest() == (
        "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0"
    )


def test_digits_levels_and_fixed_stratified_split():
    digits = Digits()
    assert digits.shape == (1, 8, 8) and digits.classes == list("0123456789")
    (pixels, _), (held, marks) = digits.split("train"), digits.split("test")
    assert pixels.shape == (1438, 1, 8, 8) and held.shape == (359, 1, 8, 8)
    assert np.bincount(marks).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    levels = np.unique(np.concatenate([pixels, held]))
    # 16 levels of 255, halves up
    assert levels.tolist() == [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223,
                               239, 255]  # fmt: skip
    with np.load(FILE) as file:
        want = sorted(map(bytes, np.floor(file["images"] * (255 / 16) + 0.5).astype(np.uint8)))
    found = np.concatenate([pixels, held])[:, 0]
    assert sorted(image.tobytes() for image in found) == want
    # written down so that results stay comparable between versions
    assert marks[:20].tolist() == HELD
    assert Digits(normalize=True).to_input(found[:, None]).mean() == pytest.approx(0, abs=2e-3)
    assert Digits(normalize=True).to_input(found[:, None]).std() == pytest.approx(1, abs=2e-3)


HELD = [5, 7, 7, 2, 7, 2, 5, 2, 9, 5, 0, 2, 2, 2, 7, 1, 8, 4, 4, 3]


def test_enlarging_is_that_of_pytorch():
    # torch 2.13.0: x = torch.tensor(images, dtype=float64)[:, None] * 255 / 16
    # F.interpolate(x, size=(s, s), mode="bilinear", align_corners=False)[0, 0]
    with np.load(FILE) as file:
        images = file["images"] * (255 / 16)
    rows = [
        [0.0, 0.0, 13.2812, 66.4062, 143.4375, 196.5625, 154.0625, 79.6875, 13.2813, 2.6563, 0.0,
         0.0],
        [0.0, 0.0, 23.9062, 119.5312, 183.2812, 211.1719, 163.3594, 139.4531, 112.8906, 54.4531,
         19.9219, 0.0],
        [0.0, 3.9844, 42.0573, 178.4115, 208.5156, 192.5781, 144.7656, 180.625, 204.974, 111.1198,
         43.8281, 0.0],
    ]  # fmt: skip
    small = enlarge(images, 12)
    assert np.abs(small[0, :3] - np.array(rows)).max() <= 0.5001
    assert small.sum(dtype=float) == pytest.approx(20142856.40625, rel=1e-4)
    row = [0.0, 0.0, 15.8562, 36.9978, 58.1393, 79.4436, 101.2357, 123.0277, 144.8198, 118.0676,
           75.1339, 32.2003, 0.0, 0.0, 0.0, 0.0, 29.5169, 68.8728, 108.2286, 137.0137, 134.0864,
           131.1591, 128.2318, 100.1786, 63.75, 27.3214, 0.0, 0.0]  # fmt: skip
    large = enlarge(images, 28)
    assert np.abs(large[0, 14] - np.array(row)).max() <= 0.5001
    assert large.sum(dtype=float) == pytest.approx(109666662.65625, rel=1e-4)
    assert large[:, 3, 5].sum() == pytest.approx(46495.9487, abs=200)


def test_digits_of_another_size_are_split_alike():
    small, large = Digits().split("test"), Digits(size=28).split("test")
    assert large[0].shape == (359, 1, 28, 28)
    np.testing.assert_array_equal(small[1], large[1])
    np.testing.assert_array_equal(large[0][:, 0], enlarge_of_levels(small))


def enlarge_of_levels(part):
    with np.load(FILE) as file:
        images = file["images"]
    levels = np.floor(images * (255 / 16) + 0.5).astype(np.uint8)
    known = {image.tobytes(): i for i, image in enumerate(levels)}
    rows = [known[image.tobytes()] for image in part[0][:, 0]]
    return enlarge(images[rows] * (255 / 16), 28)


@pytest.mark.parametrize("size", [7, 0, -8, 257])
def test_digits_sizes_out_of_range(size):
    with pytest.raises(ConfigError, match=r"dataset\.size"):
        Digits(size=size)
