"""CIFAR-10: the binary version from folder and archive, hostile archives, augmentation.

Holds tests on small files in the true format, written here.
"""

from __future__ import annotations

import hashlib
import io
import tarfile

import numpy as np
import pytest

from dope.core.configuring.signature import signature
from dope.core.errors import ConfigError, DataError
from dope.plugins.vision import cifar
from dope.plugins.vision.augment import random_crop, random_mirror
from dope.plugins.vision.cifar import NAMES, Cifar10


@pytest.fixture
def made():
    """For each file four images (4, 32, 32, 3), rows and columns of colours, and labels."""
    rng = np.random.default_rng(4)
    return {name: (rng.integers(0, 256, (4, 32, 32, 3)), rng.integers(0, 10, 4)) for name in NAMES}


def binary(images, labels):
    """One byte a label, then 1,024 bytes of red, of green, of blue, row by row."""
    out = b""
    for image, label in zip(images, labels):
        out += bytes([label])
        for colour in range(3):
            out += bytes(image[:, :, colour].ravel().tolist())
    return out


@pytest.fixture
def files(made):
    return {name: binary(*pair) for name, pair in made.items()}


def write_folder(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def write_archive(path, files, prefix="cifar-10-batches-bin/"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, data in {"readme.html": b"<p>", **files}.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture(params=["files", "above", "archive", "folder of the archive"])
def place(request, files, tmp_path):
    inner = tmp_path / "cifar-10-batches-bin"
    if request.param in ("files", "above"):
        write_folder(inner, files)
        return inner if request.param == "files" else tmp_path
    archive = write_archive(tmp_path / "cifar-10-binary.tar.gz", files)
    return archive if request.param == "archive" else tmp_path


def test_pixels_and_labels(place, made):
    before = sorted(place.rglob("*"))
    found = Cifar10(path=place)
    pixels, labels = found.split("train")
    assert pixels.dtype == np.uint8 and labels.dtype == np.int32 and pixels.flags.c_contiguous
    want = np.concatenate([made[name][0] for name in NAMES[:5]]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(pixels, want)
    np.testing.assert_array_equal(labels, np.concatenate([made[name][1] for name in NAMES[:5]]))
    pixels, labels = found.split("test")
    np.testing.assert_array_equal(pixels, made["test_batch.bin"][0].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(labels, made["test_batch.bin"][1])
    assert found.shape == (3, 32, 32) and found.classes[0] == "airplane"
    assert sorted(place.rglob("*")) == before  # nothing unpacked


def test_common_options(place):
    found = Cifar10(path=place, train=10, test=3, valid=0.2, normalize=True)
    assert [len(found.split(p)[1]) for p in ("train", "valid", "test")] == [8, 2, 3]
    gray = np.full((1, 3, 32, 32), 128, np.uint8)
    want = [(128 / 255 - m) / s for m, s in zip(Cifar10.mean, Cifar10.std)]
    np.testing.assert_allclose(found.to_input(gray)[0, :, 0, 0], want, rtol=1e-5)


def test_only_training_images_are_cropped_and_mirrored(files, tmp_path):
    found = Cifar10(path=write_folder(tmp_path, files), crop=4, mirror=True)
    part = found.split("train")
    rng = np.random.default_rng(9)
    want = random_mirror(random_crop(part[0], 4, rng), rng)
    inputs, labels = found.transform(part, np.random.default_rng(9))
    np.testing.assert_array_equal(inputs, found.to_input(want))
    np.testing.assert_array_equal(labels, part[1])
    np.testing.assert_array_equal(found.transform(part, None)[0], found.to_input(part[0]))
    plain = Cifar10(path=tmp_path).transform(part, np.random.default_rng(9))[0]
    np.testing.assert_array_equal(plain, found.to_input(part[0]))
    mirrored = Cifar10(path=tmp_path, mirror=True).transform(part, np.random.default_rng(9))[0]
    only = random_mirror(part[0], np.random.default_rng(9))
    np.testing.assert_array_equal(mirrored, found.to_input(only))


@pytest.mark.parametrize("crop", [-1, 33])
def test_crop_out_of_range(crop):
    with pytest.raises(ConfigError, match=r"dataset\.crop"):
        Cifar10(crop=crop)


def test_options_are_described():
    found = signature("dope.plugins.vision.cifar:Cifar10").options
    assert set(found) == {
        *("path", "download", "crop", "mirror", "train", "test", "valid", "normalize")
    }
    assert all(option.description for option in found.values())


# Missing and damaged files


def refusal(kind, path):
    with pytest.raises(kind) as caught:
        Cifar10(path=path).split("train")
    assert str(path) in caught.value.message and caught.value.hint
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_there_says_what_is_wanted(tmp_path, monkeypatch):
    said = refusal(ConfigError, tmp_path)
    for word in (*NAMES, "cifar-10-binary.tar.gz", "https://", "dataset.download=true", "170 MB"):
        assert word in said
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match="cache"):
        Cifar10().split("train")


def test_a_missing_file_is_named(files, tmp_path):
    del files["data_batch_3.bin"]
    assert "data_batch_3.bin" in refusal(DataError, write_folder(tmp_path / "a", files))
    assert "data_batch_3.bin" in refusal(DataError, write_archive(tmp_path / "b.tar.gz", files))


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b[:-1], "12291 bytes"),
        (lambda b: b"", "0 bytes"),
        (lambda b: b[:3073] + b"\x0a" + b[3074:], "image 2 has label 10"),
    ],
)
def test_damaged_files_are_named(files, tmp_path, archive, change, said):
    files["data_batch_2.bin"] = change(files["data_batch_2.bin"])
    if archive:
        place = write_archive(tmp_path / "c.tar.gz", files)
    else:
        place = write_folder(tmp_path / "c", files)
    message = refusal(DataError, place)
    assert "data_batch_2.bin" in message and said in message


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[: len(b) // 2],
        lambda b: b"PK\x03\x04" + b,
        lambda b: b[:-4],
        lambda b: b[:-8] + bytes(4) + b[-4:],  # the sum that gzip keeps
        lambda b: b[: len(b) // 2] + bytes([b[len(b) // 2] ^ 1]) + b[len(b) // 2 + 1 :],
    ],
    ids=["half", "zip", "end", "sum", "one bit"],
)
def test_a_damaged_archive_is_named(files, tmp_path, change):
    place = write_archive(tmp_path / "cifar-10-binary.tar.gz", files)
    place.write_bytes(change(place.read_bytes()))
    refusal(DataError, place)


def test_the_pickle_version_is_not_read(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('ran')",))

    import pickle

    data = pickle.dumps(Bomb())
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    python = dict.fromkeys(names, data)
    place = write_archive(tmp_path / "cifar-10-python.tar.gz", python, "cifar-10-batches-py/")
    assert "binary version" in refusal(DataError, place)


def test_members_that_lead_outside_are_read_and_never_written(files, tmp_path):
    place = write_archive(tmp_path / "in" / "x.tar.gz", files, prefix="../../evil/")
    assert len(Cifar10(path=place).split("train")[1]) == 20
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [place]


def test_links_and_giants_in_an_archive_are_not_followed(files, tmp_path):
    secret = write_folder(tmp_path / "secret", {"s": files["test_batch.bin"]}) / "s"
    place = tmp_path / "links.tar.gz"
    with tarfile.open(place, "w:gz") as tar:
        for name in NAMES:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, str(secret)
            tar.addfile(member)
    assert "test_batch.bin" in refusal(DataError, place)
    giant = tarfile.TarInfo("data_batch_1.bin")
    giant.size = 3073 * 10**9
    place.write_bytes(giant.tobuf() + bytes(1024))
    assert "3073000000000 bytes" in refusal(DataError, place)


def test_fetched_only_on_request_and_checked(files, tmp_path, monkeypatch):
    """`download` itself is tested over a socket in test_idx.py."""
    calls = []
    data = write_archive(tmp_path / "true.tar.gz", files).read_bytes()

    def deliver(mirrors, sha256, target):
        calls.append((mirrors, sha256))
        target.parent.mkdir(parents=True)
        target.write_bytes(data)

    monkeypatch.setattr(cifar, "download", deliver)
    assert len(Cifar10(path=tmp_path / "new", download=True).split("test")[1]) == 4
    assert len(Cifar10(path=tmp_path / "new").split("test")[1]) == 4
    assert calls == [(cifar.MIRRORS, cifar.SHA256)]
    assert len(bytes.fromhex(cifar.SHA256)) == hashlib.sha256().digest_size
