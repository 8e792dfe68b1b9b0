"""Images without labels: scaling, mirroring, a user's folder, and sheets of them.

Holds tests on small images written here.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dope.core.errors import ConfigError, DataError
from dope.plugins.generative.image_plots import save_pixels, save_sheets, sheet
from dope.plugins.generative.images import Folder, Pictures, to_input, to_pixels


def put(path, level, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, 0, 255)).save(path)


def levels(pixels):
    return pixels[:, 0, 0, 0].tolist()


def test_every_byte_comes_back():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    inputs = to_input(pixels)
    assert inputs.dtype == np.float32 and inputs.min() == -1 and inputs.max() == 1
    assert np.array_equal(to_pixels(inputs), pixels)
    assert to_pixels(np.array([-3.0, 3.0])).tolist() == [0, 255]


def test_folders_within_are_read_and_hidden_ones_are_not(tmp_path):
    put(tmp_path / "b.png", 2)
    put(tmp_path / "a.bmp", 1, size=(20, 8))
    put(tmp_path / "people" / "x" / "c.tif", 3)
    put(tmp_path / ".cache" / "d.png", 4)
    put(tmp_path / ".e.png", 5)
    (tmp_path / "notes.txt").write_text("no image")
    found = Folder(path=tmp_path, size=8)
    assert found.pixels.shape == (3, 3, 8, 8) and levels(found.pixels) == [1, 2, 3]
    assert levels(Folder(path=tmp_path, size=8, most=2).pixels) == [1, 2]
    gray = Folder(path=tmp_path, size=16, gray=True)
    assert gray.shape == (1, 16, 16) and gray.pixels.shape == (3, 1, 16, 16)


def test_what_is_no_folder_of_images_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        Folder(path=tmp_path / "none")
    with pytest.raises(ConfigError, match="no images"):
        assert Folder(path=tmp_path).pixels is None
    put(tmp_path / "a.png", 1)
    with pytest.raises(ConfigError, match="one image"):
        assert Folder(path=tmp_path).pixels is None
    (tmp_path / "b.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"b\.png"):
        assert Folder(path=tmp_path).pixels is None
    for wrong in ({"size": 0}, {"most": 1}):
        with pytest.raises(ConfigError, match="dataset"):
            Folder(path=tmp_path, **wrong)


class Ramps(Pictures):
    """Eight images that grow brighter to the right."""

    shape = (1, 2, 4)

    def read(self):
        return np.tile(np.array([0, 1, 2, 3], np.uint8), (400, 1, 2, 1))


def test_half_of_the_images_are_mirrored():
    def turned(**options):
        (batch,) = Ramps(**options).batches("train", None).epoch(np.random.default_rng(0))
        x = batch[0].asnumpy()
        assert x.shape == (400, 1, 2, 4)
        return (x[:, 0, 0, 0] > x[:, 0, 0, 3]).mean()

    assert turned() == 0.0
    assert 0.4 < turned(mirror=True) < 0.6
    assert Ramps().batches("test", 8) is None


def test_a_sheet_has_each_image_in_its_place():
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.full(
        (1, 3, 64, 64), 50, np.uint8
    )
    made = sheet(pixels, columns=3)
    assert made.shape == (2 * 66 + 2, 3 * 66 + 2, 3)
    assert [made[30, 30 + 66 * i, 0] for i in range(3)] == [0, 50, 100]
    assert [made[30 + 66, 30 + 66 * i, 0] for i in range(3)] == [150, 200, 255]
    assert (made[:2] == 255).all() and (made[:, 66:68] == 255).all()
    tiny = sheet(np.zeros((1, 1, 16, 16), np.uint8))
    assert tiny.shape == (68, 68, 3) and (tiny[2:66, 2:66] == 0).all()


def test_files_hold_what_was_drawn(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 3, 64, 64), dtype=np.uint8)
    made = sheet(pixels)
    path = save_pixels(tmp_path / "a.png", made)
    assert np.array_equal(np.asarray(Image.open(path)), made)
    both = save_sheets(tmp_path / "b.png", {"left": made, "right": made})
    with Image.open(both) as image:
        assert image.size[0] >= 2 * made.shape[1] and image.size[1] > made.shape[0]
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["a.png", "b.png"]
