"""Photographs in folders and records: parts that share nothing, what is damaged, how they vary.

Holds tests on small files written here, RecordIO by MXNet's own writer.
"""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest
from PIL import Image

from dope.core.backend import mx
from dope.core.configuring.signature import signature
from dope.core.errors import ConfigError, DataError
from dope.plugins.vision.finetune_images import Photos
from dope.plugins.vision.glyphs import NAMES, Glyphs, alphabet
from dope.plugins.vision.image_records import Hotdog, ImageRecords

SIZE = 40


def picture(i, size=(60, 50)):
    """A photograph of noise; each number has its own."""
    pixels = np.random.default_rng(i).integers(0, 256, (size[1] // 5, size[0] // 5, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def folder(path, parts, start=0):
    """Folders of JPEGs: part to class to count."""
    number = start
    for part, classes in parts.items():
        for name, count in classes.items():
            (path / part / name).mkdir(parents=True, exist_ok=True)
            for _ in range(count):
                picture(number).save(path / part / name / f"{number:03}.jpg", quality=95)
                number += 1
    return path


def records(file, items):
    """A .rec file of (label, bytes of an image)."""
    writer = mx.recordio.MXIndexedRecordIO(str(file.with_suffix(".idx")), str(file), "w")
    for i, (label, content) in enumerate(items):
        header = mx.recordio.IRHeader(0, label, i, 0)
        writer.write_idx(i, mx.recordio.pack(header, content))
    writer.close()
    return file


def jpegs(path, numbers):
    found = []
    for i in numbers:
        picture(i).save(path / "one.jpg", quality=95)
        found.append((path / "one.jpg").read_bytes())
    return found


class Kind:
    """Writes images as one of the two forms, and opens them."""

    def __init__(self, form, path):
        self.form, self.path = form, path
        self.raw: dict[str, list] = {}

    def add(self, part, label, content):
        self.raw.setdefault(part, []).append((label, content))

    def open(self, **options):
        for part, items in self.raw.items():
            if self.form == "records":
                records(self.path / f"{part}.rec", [(float(k), c) for k, c in items])
            else:
                for i, (k, content) in enumerate(items):
                    place = self.path / part / f"class {k}"
                    place.mkdir(parents=True, exist_ok=True)
                    (place / f"{i:03}.jpg").write_bytes(content)
        kind = ImageRecords if self.form == "records" else Photos
        return kind(path=self.path, size=SIZE, **options)


@pytest.fixture(params=["folder", "records"])
def kind(request, tmp_path):
    """Six images for training and four to test with, in two classes."""
    made = Kind(request.param, tmp_path)
    for i, content in enumerate(jpegs(tmp_path, range(10))):
        made.add("train" if i < 6 else "test", i % 2, content)
    (tmp_path / "one.jpg").unlink()
    return made


def test_both_forms_read_the_same_images(kind):
    data = kind.open()
    pixels, labels = data.split("train")
    assert data.classes == ["class 0", "class 1"] and data.shape == (3, SIZE, SIZE)
    assert pixels.shape == (6, 3, SIZE, SIZE) and sorted(labels) == [0, 0, 0, 1, 1, 1]
    from dope.core.pictures import read_image

    seen = {row.tobytes(): int(k) for row, k in zip(pixels, labels)}
    for i in range(6):
        picture(i).save(kind.path / "x.jpg", quality=95)
        assert seen[read_image(kind.path / "x.jpg", data.shape).tobytes()] == i % 2
    assert data.split("valid") is None and len(data.split("test")[1]) == 4
    assert data.skipped == {}


def test_an_image_in_two_parts_is_refused_by_name_or_left_out_and_counted(kind):
    kind.add("train", 0, kind.raw["test"][0][1])
    kind.add("valid", 1, kind.raw["test"][1][1])
    kind.add("valid", 1, kind.raw["train"][0][1])
    with pytest.raises(DataError, match=r"of the part valid is the same image as .* part test"):
        kind.open().split("train")
    data = kind.open(on_error="skip")
    assert [len(data.split(part)[1]) for part in ("train", "valid", "test")] == [5, 1, 4]
    assert data.skipped == {"images that another part has too": 3} and len(data.skips) == 3
    rows = [{row.tobytes() for row in data.split(p)[0]} for p in ("train", "valid", "test")]
    assert not (rows[0] & rows[1] or rows[0] & rows[2] or rows[1] & rows[2])


def test_the_same_pixels_in_another_file_are_the_same_image(tmp_path):
    folder(tmp_path, {"train": {"a": 2, "b": 2}, "test": {"a": 1, "b": 1}})
    with Image.open(tmp_path / "test" / "a" / "004.jpg") as opened:
        opened.save(tmp_path / "train" / "b" / "copy.png")
    with pytest.raises(DataError, match=r"copy.png of the part train .*004.jpg"):
        Photos(path=tmp_path, size=SIZE).split("test")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.95])
def test_a_truncated_jpeg_is_named_or_left_out_and_counted(kind, share):
    whole = kind.raw["train"][0][1]
    kind.add("train", 1, whole[: int(share * len(whole))])
    name = "006.jpg" if kind.form == "folder" else "train.rec, record 7"
    with pytest.raises(DataError, match=f"{name} cannot be read as an image") as caught:
        kind.open().split("test")
    assert "dataset.on_error=skip" in caught.value.hint and "0x" not in caught.value.message
    data = kind.open(on_error="skip")
    assert len(data.split("train")[1]) == 6 and data.skipped == {"damaged images": 1}


def test_a_file_that_is_lost_between_is_missing(tmp_path):
    folder(tmp_path, {"train": {"a": 2, "b": 2}})
    data = Photos(path=tmp_path, size=SIZE, on_error="skip")
    found = data.listed()
    data.listed = lambda: found
    (tmp_path / "train" / "a" / "000.jpg").unlink()
    assert len(data.split("train")[1]) == 3 and data.skipped == {"missing images": 1}


def test_parts_are_drawn_where_there_is_one_only(tmp_path):
    folder(tmp_path, {"": {"a": 10, "b": 20}})
    data = Photos(path=tmp_path, size=SIZE, valid=0.25)
    counts = [np.bincount(data.split(part)[1], minlength=2) for part in ("train", "valid", "test")]
    assert counts[2].tolist() == [2, 4] and (counts[0] + counts[1]).tolist() == [8, 16]
    assert counts[1].sum() == 6
    other = Photos(path=tmp_path, size=SIZE, valid=0.25, seed=1)
    assert (data.split("test")[0] != other.split("test")[0]).any()


def test_training_images_vary_and_others_do_not(tmp_path):
    folder(tmp_path, {"train": {"a": 4, "b": 4}, "test": {"a": 2, "b": 2}})
    data = Photos(path=tmp_path, size=SIZE)
    pixels, labels = data.split("train")
    first = data.transform((pixels, labels), np.random.default_rng(0))
    again = data.transform((pixels, labels), np.random.default_rng(0))
    other = data.transform((pixels, labels), np.random.default_rng(1))
    plain = data.transform((pixels, labels), None)
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).any() and (first[0] != plain[0]).any()
    wanted = (pixels / 255.0 - np.array(data.mean).reshape(3, 1, 1)) / np.array(data.std).reshape(
        3, 1, 1
    )
    np.testing.assert_allclose(plain[0], wanted, rtol=1e-4, atol=1e-5)
    still = Photos(path=tmp_path, size=SIZE, augment=False)
    np.testing.assert_array_equal(still.augment(pixels, np.random.default_rng(0)), pixels)


def test_varied_images_are_windows_that_are_wide_enough(tmp_path):
    folder(tmp_path, {"train": {"a": 2, "b": 2}})
    data = Photos(path=tmp_path, size=SIZE, crop=0.5)
    ramp = np.broadcast_to(np.linspace(0, 255, SIZE).astype(np.uint8), (200, 3, SIZE, SIZE))
    made = data.augment(np.ascontiguousarray(ramp), np.random.default_rng(0)).astype(float)
    shares = np.abs(made[:, 0, 0, -1] - made[:, 0, 0, 0]) / 255  # about the side of the window
    assert 0.44 < shares.min() < 0.55 and shares.max() > 0.9
    mirrored = (made[:, 0, 0, -1] < made[:, 0, 0, 0]).mean()
    assert 0.35 < mirrored < 0.65


@pytest.mark.parametrize(
    "label, said",
    [
        (1.5, "1.5 is no class"),
        (-1.0, "-1 is no class"),
        (np.array([4.0, 5.0, 0.0, 0.1, 0.1, 0.5, 0.5]), "label of 7 numbers"),
    ],
)
def test_labels_that_are_no_class_are_named(label, said, tmp_path):
    content = jpegs(tmp_path, range(4))
    file = records(tmp_path / "x.rec", [*zip([0.0, 1.0, 0.0], content), (label, content[3])])
    with pytest.raises(DataError, match=f"record 4.*{said}"):
        ImageRecords(path=file, size=SIZE).split("train")
    data = ImageRecords(path=file, size=SIZE, on_error="skip", holdout=0.0)
    assert len(data.split("train")[1]) == 3 and data.skipped == {"broken records": 1}


def test_a_class_that_training_has_not_is_unknown(tmp_path):
    content = jpegs(tmp_path, range(5))
    records(tmp_path / "train.rec", zip([0.0, 1.0, 0.0], content))
    records(tmp_path / "val.rec", zip([1.0, 2.0], content[3:]))
    with pytest.raises(DataError, match=r"val.rec, record 2 is of class 2, the classes are 0 to 1"):
        ImageRecords(path=tmp_path, size=SIZE).split("train")
    named = ImageRecords(path=tmp_path, size=SIZE, classes=["ant", "bee", "cat"])
    assert named.classes[2] == "cat" and sorted(named.split("valid")[1]) == [1, 2]
    with pytest.raises(ConfigError, match="has a file of that part"):
        ImageRecords(path=tmp_path, size=SIZE, valid=0.5, on_error="skip").split("train")


def test_records_that_are_cut_short_are_refused(tmp_path):
    file = records(tmp_path / "x.rec", zip([0.0, 1.0], jpegs(tmp_path, range(2))))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"x.rec is cut short"):
        ImageRecords(path=file, size=SIZE).split("train")
    file.with_suffix(".idx").write_text("0\t0\n")
    records(file, zip([0.0, 1.0], jpegs(tmp_path, range(2))))
    file.with_suffix(".idx").write_text("0\t0\n")
    with pytest.raises(DataError, match=r"has 2 records, but x.idx lists 1"):
        ImageRecords(path=file, size=SIZE).split("train")


def test_hot_dogs_come_on_request_only_and_the_books_validation_is_for_testing(
    tmp_path, monkeypatch
):
    with pytest.raises(ConfigError, match=r"not_hotdog_train-e6ef27b4.rec") as caught:
        Hotdog(path=tmp_path).split("train")
    assert "dataset.download=true" in caught.value.hint
    here = tmp_path / "served"
    here.mkdir()
    content = jpegs(here, range(12))
    sha1 = {}
    for part, rows in (("train", range(8)), ("test", range(8, 12))):
        file = records(here / Hotdog.files[part], [(float(i % 2), content[i]) for i in rows])
        sha1[part] = hashlib.sha1(file.read_bytes()).hexdigest()
    monkeypatch.setattr(Hotdog, "sha1", sha1)
    asked = []

    def retrieve(url, known, fname, path):
        asked.append((url, known))
        shutil.copy(here / fname, path / fname)

    import pooch

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    data = Hotdog(path=tmp_path, download=True, size=SIZE, valid=0.25)
    counts = {part: len(data.split(part)[1]) for part in ("train", "valid", "test")}
    assert data.classes == ["not hotdog", "hotdog"]
    assert counts == {"train": 6, "valid": 2, "test": 4}
    assert asked == [
        (Hotdog.origin + Hotdog.files[part], f"sha1:{sha1[part]}") for part in ("train", "test")
    ]


def test_the_books_sums_are_those_it_prints():
    assert Hotdog.__dict__["sha1"] == {
        "train": "0aad7e1f16f5fb109b719a414a867bbee6ef27b4",
        "test": "723ae5f8a433ed2e2bf729baec6b878ac0201740",
    }


def test_letters_of_the_two_scripts_differ_and_images_are_the_seeds():
    made = Glyphs(classes=4, source_classes=6, each=3, source_each=4, test_each=2, size=32)
    assert not set(made.classes) & set(made.source.classes)
    assert made.classes == NAMES[6:10] and made.source.classes == NAMES[:6]
    pixels, labels = made.split("train")
    assert pixels.shape == (12, 3, 32, 32) and np.bincount(labels).tolist() == [3] * 4
    assert len(made.source.split("train")[1]) == 24 and made.source.split("test") is None
    again = Glyphs(classes=4, source_classes=6, each=5, source_each=4, test_each=2, size=32)
    np.testing.assert_array_equal(again.split("train")[0][:12], pixels)  # more change no earlier
    np.testing.assert_array_equal(again.source.split("train")[0], made.source.split("train")[0])
    other = Glyphs(classes=4, source_classes=6, each=3, source_each=4, test_each=2, size=32, seed=1)
    assert (other.split("train")[0] != pixels).any()
    parts = [made.split(p)[0] for p in ("train", "valid", "test")]
    parts += [made.source.split(p)[0] for p in ("train", "valid")]
    hashes = [row.tobytes() for part in parts for row in part]
    assert len(set(hashes)) == len(hashes)


def test_letters_hang_together_and_are_all_different():
    letters = alphabet(50, 3)
    assert all(3 <= len(letter) <= 5 for letter in letters)
    for letter in letters:
        ends = [{tuple(s[0]), tuple(s[-1])} for s in letter]
        joined = ends[0]
        while any(each & joined and not each <= joined for each in ends):
            joined = joined.union(*(each for each in ends if each & joined))
        assert all(each <= joined for each in ends)
    shapes = {b"".join(s.round(6).tobytes() for s in letter) for letter in letters}
    assert len(shapes) == 50


@pytest.mark.parametrize(
    "options, said",
    [
        ({"size": 8}, "dataset.size"),
        ({"classes": 1}, "dataset.classes"),
        ({"source_classes": 41}, "dataset.source_classes"),
        ({"each": 0}, "dataset.each"),
        ({"seed": -1}, "dataset.seed"),
    ],
)
def test_impossible_scripts_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        Glyphs(**options)


@pytest.mark.parametrize(
    "options",
    [{"size": 8}, {"crop": 0.0}, {"crop": 1.1}, {"holdout": 1.0}, {"seed": -1}, {"on_error": "x"}],
)
def test_impossible_options_are_refused(options, tmp_path):
    folder(tmp_path, {"train": {"a": 1, "b": 1}})
    (name,) = options
    with pytest.raises(ConfigError, match=f"dataset.{name}"):
        Photos(path=tmp_path, **options)


@pytest.mark.parametrize("name", ["finetune_images:Photos", "image_records:Hotdog"])
def test_every_option_is_explained(name):
    options = signature(f"dope.plugins.vision.{name}").options
    assert {"path", "size", "on_error", "crop", "train", "valid"} <= set(options)
    assert all(option.description for option in options.values())
