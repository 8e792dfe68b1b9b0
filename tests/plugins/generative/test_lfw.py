"""Labeled Faces in the Wild: its archive, and archives that are not it.

Holds tests on archives that are written here; the true one is never fetched.
"""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from dope.core.errors import ConfigError, DataError
from dope.plugins.generative import lfw
from dope.plugins.generative.lfw import Lfw


def photograph(level, size=(250, 250)):
    """A JPEG: one gray level, with a white square of 100 pixels in the middle."""
    image = Image.new("RGB", size, (level,) * 3)
    image.paste((255, 255, 255), (75, 75, 175, 175))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=95)
    return data.getvalue()


def archive(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def whole(tmp_path):
    files = {f"lfw/Person_{i}/Person_{i}_0001.jpg": photograph(40 * i) for i in range(4)}
    return archive(tmp_path / "lfw-funneled.tgz", {"lfw/README": b"faces", **files})


def test_photographs_are_read_in_order(whole):
    for path in (whole, whole.parent):
        pixels = Lfw(path=path, size=50).pixels
        assert pixels.shape == (4, 3, 50, 50) and pixels.dtype == np.uint8
        assert abs(pixels[:, 0, 0, 0].astype(int) - [0, 40, 80, 120]).max() <= 3
        assert (pixels[:, :, 25, 25] >= 250).all()
    assert len(Lfw(path=whole, most=2).pixels) == 2
    assert Lfw(path=whole, gray=True).pixels.shape == (4, 1, 64, 64)


def test_the_middle_can_be_cropped(whole):
    full, cropped = (Lfw(path=whole, size=50, crop=crop).pixels for crop in (250, 80))
    assert (cropped >= 250).all() and not (full >= 250).all()


def test_nothing_is_written(whole):
    before = {p: p.stat().st_mtime_ns for p in whole.parent.rglob("*")}
    evil = {f"../../up{i}.jpg": photograph(9) for i in range(2)}
    assert len(Lfw(path=archive(whole.parent / "evil.tgz", evil)).pixels) == 2
    (whole.parent / "evil.tgz").unlink()
    assert {p: p.stat().st_mtime_ns for p in whole.parent.rglob("*")} == before
    assert not list(whole.parent.parent.glob("up*.jpg"))


@pytest.mark.parametrize(
    "content, said",
    [
        (photograph(1, size=(300, 250)), "300 x 250"),
        (b"\x89PNG\r\n\x1a\n", "cannot identify"),
        (photograph(1)[:900], "a.jpg"),
    ],
)
def test_other_files_are_refused(tmp_path, content, said):
    path = archive(tmp_path / "lfw.tgz", {"a.jpg": content, "b.jpg": photograph(2)})
    with pytest.raises(DataError, match=said) as caught:
        assert Lfw(path=path).pixels is None
    assert "a.jpg" in caught.value.message


def test_damaged_archives_are_refused(whole, monkeypatch):
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cannot be read as an archive"):
        assert Lfw(path=whole).pixels is None
    empty = archive(whole.parent / "empty.tgz", {"README": b""})
    with pytest.raises(DataError, match="holds no photographs"):
        assert Lfw(path=empty).pixels is None
    monkeypatch.setattr(lfw, "LARGEST", 100)
    with pytest.raises(DataError, match="far too many"):
        assert Lfw(path=archive(whole, {"a.jpg": photograph(1)})).pixels is None


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"lfw-funneled\.tgz") as caught:
        assert Lfw(path=tmp_path).pixels is None
    assert "dataset.download=true" in caught.value.hint
    with pytest.raises(ConfigError, match="no SHA-256") as caught:
        assert Lfw(path=tmp_path, archive="deepfunneled", download=True).pixels is None
    assert "dataset.path" in caught.value.hint


def test_a_download_is_checked(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(lfw, "download", lambda *given: asked.append(given) or fill(given[2]))

    def fill(target):
        archive(target, {f"{i}.jpg": photograph(i) for i in range(3)})

    assert len(Lfw(path=tmp_path, download=True).pixels) == 3
    assert len(Lfw(path=tmp_path, download=True).pixels) == 3  # it is there now
    ((mirrors, sha256, target),) = asked
    assert target == tmp_path / "lfw-funneled.tgz" and len(sha256) == 64
    assert (mirrors[0] + target.name).split("#")[0].endswith("/5976015")


@pytest.mark.parametrize("wrong", [{"crop": 8}, {"size": 0}, {"archive": "other"}, {"most": 1}])
def test_options_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"dataset.{name}"):
        Lfw(**wrong)
