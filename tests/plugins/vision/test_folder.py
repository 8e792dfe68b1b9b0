"""A folder of images: layouts, splits, forms of files, and what is refused.

Holds tests on small images written here; one image file is the subject of test_images.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dope.core.configuring.signature import REQUIRED, signature
from dope.core.errors import ConfigError, DataError
from dope.core.pictures import read_images
from dope.plugins.vision.folder import Folder


def fill(folder, counts, start=0, suffix=".png", size=(8, 8)):
    """Images of one gray level each, all different: ``start`` and up."""
    level = start
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("L", size, level).save(folder / name / f"{i:03}{suffix}")
            level += 1
    return folder


def levels(part):
    return part[0][:, 0, 0, 0].tolist()


def test_a_fifth_of_each_class_is_held_out(tmp_path):
    fill(tmp_path, {"cats": 40, "dogs": 20, "ants": 10})
    found = Folder(path=tmp_path, size=8)
    assert found.classes == ["ants", "cats", "dogs"] and found.shape == (3, 8, 8)
    (pixels, labels), (held, marks) = found.split("train"), found.split("test")
    assert pixels.shape == (56, 3, 8, 8) and pixels.dtype == np.uint8
    assert labels.dtype == np.int32 and np.bincount(marks).tolist() == [2, 8, 4]
    assert sorted(levels((pixels, 0)) + levels((held, 0))) == list(range(70))
    for images, numbers in ((pixels, labels), (held, marks)):  # cats 0-39, dogs 40-59, ants 60-69
        want = [0 if g >= 60 else 2 if g >= 40 else 1 for g in levels((images, 0))]
        assert numbers.tolist() == want
    assert labels.tolist() != sorted(labels.tolist())
    assert found.split("valid") is None


def test_the_seed_decides(tmp_path):
    fill(tmp_path, {"a": 20, "b": 20})

    def held(**options):
        return levels(Folder(path=tmp_path, size=8, **options).split("test"))

    assert held() == held() and held(seed=0) == held()
    assert held(seed=1) != held()
    assert len(held(holdout=0.5)) == 20
    assert Folder(path=tmp_path, holdout=0.0).split("test") is None


def test_parts_in_folders_of_their_own(tmp_path):
    fill(tmp_path / "train", {"a": 6, "b": 4})
    fill(tmp_path / "valid", {"a": 2}, start=50)
    fill(tmp_path / "test", {"a": 1, "b": 3}, start=100)
    found = Folder(path=tmp_path, size=8, gray=True)
    assert found.classes == ["a", "b"] and found.shape == (1, 8, 8)
    assert sorted(levels(found.split("train"))) == list(range(10))
    assert sorted(levels(found.split("valid"))) == [50, 51]
    test = sorted(zip(levels(found.split("test")), found.split("test")[1].tolist()))
    assert test == [(100, 0), (101, 1), (102, 1), (103, 1)]
    with pytest.raises(ConfigError, match=r"dataset\.valid"):
        Folder(path=tmp_path, valid=0.5)


def test_train_alone_has_no_test_part(tmp_path):
    fill(tmp_path / "train", {"a": 10, "b": 10})
    found = Folder(path=tmp_path, size=8, valid=0.2)
    assert [found.split(p) and len(found.split(p)[1]) for p in ("train", "valid", "test")] == [
        *(16, 4, None)
    ]
    assert set(found.split("valid")[1].tolist()) <= {0, 1}


def test_train_may_be_the_name_of_a_class(tmp_path):
    found = Folder(path=fill(tmp_path, {"car": 5, "train": 5}), size=8)
    assert found.classes == ["car", "train"]


def test_only_what_is_asked_for_is_read(tmp_path, monkeypatch):
    fill(tmp_path, {"a": 30, "b": 30})
    (tmp_path / "a" / "zz.png").write_text("damaged")
    seen = []
    monkeypatch.setattr(
        "dope.plugins.vision.folder.read_images",
        lambda files, shape: seen.append(len(files)) or read_images(files, shape),
    )
    found = Folder(path=tmp_path, size=8, train=5, seed=3)
    assert len(found.split("train")[1]) == 5 and found.split("train") is found.split("train")
    assert seen == [5]


def test_forms_of_files_and_others_left_alone(tmp_path):
    fill(tmp_path, {"a": 2, "b": 2})
    for i, suffix in enumerate((".jpg", ".JPEG", ".gif", ".bmp", ".tiff", ".webp", ".ppm", ".PGM")):
        Image.new("L", (9, 8), 100).save(tmp_path / "a" / f"more{i}{suffix}")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "a" / "._000.png").write_text("x")
    (tmp_path / "a" / "deeper.png").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.md").write_text("x")
    found = Folder(path=tmp_path, size=8, holdout=0.0)
    pixels, labels = found.split("train")
    assert np.bincount(labels).tolist() == [10, 2]
    assert (np.abs(pixels.astype(int)[labels == 0][:, 0, 0, 0] - 100) <= 2).sum() == 8


def test_short_side_to_size_and_centre(tmp_path):
    fill(tmp_path, {"a": 1, "b": 1})
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (200, 100, 50)
    Image.fromarray(wide).save(tmp_path / "a" / "000.png")
    pixels, labels = Folder(path=tmp_path, size=10, holdout=0.0).split("train")
    found = pixels[labels == 0][0]  # at the very edge the black beside it is averaged in
    assert found[:, :, 1:-1].reshape(3, -1).T.tolist() == [[200, 100, 50]] * 80
    assert found[0, :, [0, -1]].min() > 150


@pytest.mark.parametrize("gray", [False, True])
def test_normalize_uses_the_figures_of_imagenet(tmp_path, gray):
    found = Folder(path=fill(tmp_path, {"a": 1, "b": 1}), gray=gray, normalize=True)
    white = found.to_input(np.full((1, found.shape[0], 2, 2), 255, np.uint8))[0, :, 0, 0]
    want = [(1 - 0.449) / 0.226] if gray else [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]
    np.testing.assert_allclose(white, want, rtol=1e-5)


def test_options_are_described():
    found = signature("dope.plugins.vision.folder:Folder").options
    assert list(found)[:5] == ["path", "size", "gray", "holdout", "seed"]
    assert found["path"].default is REQUIRED
    assert all(option.description for option in found.values())


# Refusals


def refusal(path, kind=ConfigError, **options):
    with pytest.raises(kind) as caught:
        Folder(path=path, **options).split("train")
    assert caught.value.hint and "\n" not in str(caught.value)
    return caught.value.message


def test_no_folder_no_classes_one_class(tmp_path):
    assert str(tmp_path / "x") in refusal(tmp_path / "x")
    assert "no classes" in refusal(tmp_path)
    assert "one class" in refusal(fill(tmp_path, {"a": 2}))
    (tmp_path / "a" / "000.png").rename(tmp_path / "a.png")
    assert str(tmp_path / "a.png") in refusal(tmp_path / "a.png")


def test_an_empty_class_is_named(tmp_path):
    fill(tmp_path, {"a": 3, "b": 0})
    assert f"{tmp_path / 'b'} has no images" in refusal(tmp_path)


def test_an_empty_class_of_the_test_part_is_named(tmp_path):
    fill(tmp_path / "train", {"a": 3, "b": 3})
    fill(tmp_path / "test", {"a": 3, "b": 0})
    assert str(tmp_path / "test" / "b") in refusal(tmp_path)


def test_a_class_without_training_images_is_named(tmp_path):
    fill(tmp_path / "train", {"a": 3, "b": 3})
    fill(tmp_path / "test", {"c": 3})
    assert "class c" in refusal(tmp_path)


def test_a_damaged_image_is_named(tmp_path):
    fill(tmp_path, {"a": 20, "b": 20}, size=(40, 40))
    damaged = tmp_path / "b" / "007.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    assert str(damaged) in refusal(tmp_path, DataError, holdout=0.0)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"size": 0}, "dataset.size"),
        ({"holdout": 1.0}, "dataset.holdout"),
        ({"holdout": float("nan")}, "dataset.holdout"),
        ({"seed": -1}, "dataset.seed"),
        ({"holdout": 0.01}, "dataset.holdout"),
        ({"train": 1000}, "dataset.train=1000"),
        ({"holdout": 0.0, "test": 1}, "dataset.test=1"),
    ],
)
def test_options_out_of_range(tmp_path, options, name):
    assert name in refusal(fill(tmp_path, {"a": 4, "b": 4}), **options)
