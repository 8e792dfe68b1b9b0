"""IDX files: MNIST and Fashion-MNIST from true and damaged files, by both names, and fetched.

Holds tests on files made here and, where it is there, on the true MNIST test part.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dope.core.configuring.signature import signature
from dope.core.errors import ConfigError, DataError
from dope.plugins.vision.idx import STEMS, FashionMnist, Mnist, read_idx

SHARED = Path(os.environ.get("DOPE_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
ALL = [stem for pair in STEMS.values() for stem in pair]


def idx(array):
    """The bytes of an IDX file, written out from the format's description."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def made():
    """Images and labels of 30 training and 20 test examples."""
    rng = np.random.default_rng(1)
    return {
        stem: rng.integers(0, 256, (n, 28, 28)) if "images" in stem else rng.integers(0, 10, n)
        for stem, n in zip(ALL, (30, 30, 20, 20))
    }


@pytest.fixture
def folder(made, tmp_path):
    """A folder with the four files; tests damage one."""
    for stem, array in made.items():
        (tmp_path / stem).write_bytes(idx(array))
    return tmp_path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder in place of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dope"


@pytest.mark.parametrize("cls", [Mnist, FashionMnist])
@pytest.mark.parametrize("name", ["{}", "{}.gz", "dotted {}", "dotted {}.gz"])
def test_every_name_of_the_files(made, tmp_path, cls, name):
    for stem, array in made.items():
        target = name.format(stem)
        if target.startswith("dotted "):
            target = target[7:].replace("-idx", ".idx")
        data = idx(array)
        (tmp_path / target).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found = cls(path=tmp_path)
    for part, (images, labels) in STEMS.items():
        pixels, marks = found.split(part)
        assert pixels.dtype == np.uint8 and marks.dtype == np.int32
        np.testing.assert_array_equal(pixels[:, 0], made[images])
        np.testing.assert_array_equal(marks, made[labels])
    assert found.split("valid") is None
    assert found.shape == (1, 28, 28) and len(found.classes) == 10


def test_a_mislabelled_gzip_is_still_read(folder, made):
    for stem in ALL:
        (folder / stem).write_bytes(gzip.compress((folder / stem).read_bytes()))
    np.testing.assert_array_equal(Mnist(path=folder).split("test")[1], made[ALL[3]])


def test_test_files_alone_serve_both_parts(folder, made):
    for stem in STEMS["train"]:
        (folder / stem).unlink()
    found = Mnist(path=folder, source="test", train=12, test=5, valid=0.25)
    images, labels = made[ALL[2]], made[ALL[3]]
    for part, rows in (("train", slice(0, 9)), ("valid", slice(9, 12)), ("test", slice(15, 20))):
        np.testing.assert_array_equal(found.split(part)[0][:, 0], images[rows])
        np.testing.assert_array_equal(found.split(part)[1], labels[rows])


def test_parts_of_the_test_files_may_not_overlap(folder):
    assert len(Mnist(path=folder, source="test", train=15, test=5).split("train")[1]) == 15
    with pytest.raises(ConfigError, match=r"dataset\.train=16 and dataset\.test=5") as caught:
        Mnist(path=folder, source="test", train=16, test=5).split("train")
    assert "20" in caught.value.hint
    with pytest.raises(ConfigError, match=r"dataset\.train=8000 and dataset\.test=2000"):
        Mnist(path=folder, source="test").split("train")
    with pytest.raises(ConfigError, match=r"dataset\.source"):
        Mnist(source="train")


def test_missing_files_are_listed_with_their_origin(folder, cache):
    (folder / ALL[0]).unlink()
    (folder / ALL[3]).unlink()
    with pytest.raises(ConfigError) as caught:
        Mnist(path=folder).split("train")
    said = caught.value.message
    assert said.startswith(f"MNIST: 2 of 4 files are not in {folder}: {ALL[0]}, {ALL[3]} (IDX")
    assert ".gz" in said
    for word in ("https://", "dataset.path", "dataset.download=true"):
        assert word in caught.value.hint, word
    with pytest.raises(ConfigError, match="Fashion-MNIST") as caught:
        FashionMnist().split("test")
    assert str(cache / "fashion_mnist") in caught.value.message
    with pytest.raises(ConfigError) as caught:
        Mnist(source="test", path=folder).split("test")
    assert ALL[3] in caught.value.message and "train" not in str(caught.value)


def test_options_and_their_meanings_are_listed():
    found = signature("dope.plugins.vision.idx:FashionMnist")
    assert set(found.options) == {
        *("path", "download", "source", "train", "test", "valid", "normalize")
    }
    assert all(option.description for option in found.options.values())
    assert "clothes" in found.doc_summary


# Damaged files


def damage(folder, stem, change):
    (folder / stem).write_bytes(change((folder / stem).read_bytes()))


@pytest.mark.parametrize(
    ("stem", "change", "said"),
    [
        (ALL[0], lambda b: b"\0\0\x08\x01" + b[4:], "00 00 08 01"),
        (ALL[0], lambda b: b"\0\0\x0d\x03" + b[4:], "00 00 0d 03"),
        (ALL[1], lambda b: b"<html>", "3c 68 74 6d"),
        (ALL[1], lambda b: b"", r"\(none\)"),
        (ALL[0], lambda b: b[:9], "within its header"),
        (ALL[0], lambda b: b[:-1], "cut short: 23519 of 23520"),
        (ALL[0], lambda b: b + b"x", "goes on after the 23520"),
        (ALL[0], lambda b: b[:4] + b"\xff" * 4 + b[8:], "cut short: 23520 of"),
        (ALL[0], lambda b: b[:8] + struct.pack(">II", 14, 56) + b[16:], "14x56 pixels"),
        (ALL[0], lambda b: gzip.compress(b)[:-20], "cannot be read"),
        (ALL[0], lambda b: gzip.compress(b)[:-8] + bytes(8), "cannot be read"),
        (ALL[0], lambda b: gzip.compress(b)[:300] + bytes(300), "cannot be read"),
        (ALL[1], lambda b: b[:20] + b"\x0a" + b[21:], "label 13 is 10, the classes are 0 to 9"),
        (ALL[1], lambda b: idx(np.zeros(29)), "has 29 labels"),
        (ALL[2], lambda b: idx(np.zeros((0, 28, 28))), "has 0 images"),
    ],
)  # fmt: skip
def test_damage_is_named(folder, stem, change, said):
    damage(folder, stem, change)
    with pytest.raises(DataError, match=said) as caught:
        Mnist(path=folder).split("test")
    assert str(folder) in caught.value.message and stem in caught.value.message
    assert caught.value.hint and "\n" not in str(caught.value)


def test_no_images_at_all(folder):
    for stem, shape in zip(STEMS["test"], ((0, 28, 28), (0,))):
        (folder / stem).write_bytes(idx(np.zeros(shape)))
    with pytest.raises(DataError, match="holds no images"):
        Mnist(path=folder).split("test")


def test_a_header_that_claims_the_moon_costs_no_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "big"
    path.write_bytes(bytes([0, 0, 8, 1]) + b"\xff" * 4 + bytes(10))
    tracemalloc.start()
    with pytest.raises(DataError, match="cut short: 10 of 4294967295"):
        read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 1e8
    tracemalloc.stop()


# Fetching, from a server of our own


@pytest.fixture
def server(tmp_path):
    """A folder that is served on this machine, its address, and what was asked of it."""
    root = tmp_path / "served"
    root.mkdir()
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, form, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        yield root, f"http://127.0.0.1:{httpd.server_address[1]}/", asked
        httpd.shutdown()
        thread.join()


@pytest.fixture
def served(server, made, monkeypatch):
    """The set, whose files and sums are those of the server; its first mirror has none."""
    root, address, asked = server
    sums = {}
    for stem, array in made.items():
        data = gzip.compress(idx(array), mtime=0)
        (root / f"{stem}.gz").write_bytes(data)
        sums[stem] = hashlib.sha256(data).hexdigest()
    monkeypatch.setattr(Mnist, "sha256", sums)
    monkeypatch.setattr(Mnist, "mirrors", (address + "nowhere/", address))
    return root, asked


def test_fetched_once_into_the_cache_and_then_found(served, cache, made):
    _, asked = served
    found = Mnist(download=True).split("test")
    np.testing.assert_array_equal(found[1], made[ALL[3]])
    assert sorted(p.name for p in (cache / "mnist").iterdir()) == sorted(f"{s}.gz" for s in ALL)
    assert asked == [f"{where}/{s}.gz" for s in ALL for where in ("/nowhere", "")]
    asked.clear()
    Mnist().split("test")
    Mnist(download=True).split("test")
    assert not asked


def test_only_missing_files_are_fetched_and_into_the_given_folder(served, folder, cache):
    _, asked = served
    (folder / ALL[1]).unlink()
    Mnist(path=folder, download=True).split("train")
    assert (folder / f"{ALL[1]}.gz").is_file() and not cache.exists()
    assert asked == [f"/nowhere/{ALL[1]}.gz", f"/{ALL[1]}.gz"]


def test_a_file_with_another_sum_is_refused_and_not_kept(served, cache):
    root, _ = served
    (root / f"{ALL[0]}.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(DataError, match=f"{ALL[0]}.gz could not be downloaded") as caught:
        Mnist(download=True).split("train")
    assert "\n" not in str(caught.value) and str(cache / "mnist") in caught.value.hint
    assert not list((cache / "mnist").glob("*train-images*"))


def test_no_network_is_one_line(cache, monkeypatch):
    monkeypatch.setattr(Mnist, "mirrors", ("http://127.0.0.1:9/",))
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9") as caught:
        Mnist(download=True).split("train")
    assert "\n" not in str(caught.value)


def test_the_sums_are_whole():
    for cls in (Mnist, FashionMnist):
        assert sorted(cls.sha256) == sorted(ALL)
        assert all(len(bytes.fromhex(s)) == 32 for s in cls.sha256.values())
        assert len(set(cls.sha256.values())) == 4
        assert all(mirror.endswith("/") for mirror in cls.mirrors)


# The true files


@pytest.fixture
def real():
    folder = SHARED / "mnist"
    if not folder.is_dir():
        pytest.skip("no MNIST files: set DOPE_SHARED_DATA")
    return folder


def test_true_files_have_the_sums(real):
    for stem in STEMS["test"]:
        data = (real / f"{stem}.gz").read_bytes()
        assert hashlib.sha256(data).hexdigest() == Mnist.sha256[stem]


def test_true_test_images(real):
    found = Mnist(path=real, source="test")
    (pixels, labels), (held, marks) = found.split("train"), found.split("test")
    assert pixels.shape == (8000, 1, 28, 28) and held.shape == (2000, 1, 28, 28)
    everything = np.concatenate([labels, marks])
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # counts of the ten digits among the 10,000, as published
    assert np.bincount(everything).tolist() == [
        *(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
    ]
    raw = gzip.decompress((real / "t10k-images-idx3-ubyte.gz").read_bytes())
    assert pixels[5].tobytes() == raw[16 + 5 * 784 : 16 + 6 * 784]
    assert held[-1].tobytes() == raw[-784:]
