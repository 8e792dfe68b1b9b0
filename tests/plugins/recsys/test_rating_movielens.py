"""MovieLens: its three formats in folders, files and archives, with titles; what is missing.

Holds tests on files that are written here; the true archives are never fetched.
"""

from __future__ import annotations

import hashlib
import zipfile

import pytest

from dope.core.errors import ConfigError, DataError
from dope.plugins.recsys import movielens
from dope.plugins.recsys.movielens import MovieLens

U_DATA = "196\t242\t3\t881250949\n186\t302\t3\t891717742\n196\t302\t1\t881250950\n"
U_ITEM = "242|Kolya (1996)|24-Jan-1997||http://x|0\n302|Mis\u00e9rables, Les (1995)|||\n"
FORMATS = {
    "u.data": (U_DATA, "u.item", U_ITEM.encode("latin-1")),
    "ratings.dat": (
        U_DATA.replace("\t", "::"), "movies.dat",
        "242::Kolya (1996)::\n302::Mis\u00e9rables, Les (1995)::Drama|War\n".encode("latin-1"),
    ),
    "ratings.csv": (
        "userId,movieId,rating,timestamp\n" + U_DATA.replace("\t", ","), "movies.csv",
        'movieId,title,genres\n242,Kolya (1996),\n302,"Mis\u00e9rables, Les (1995)",\n'.encode(),
    ),
}  # fmt: skip


@pytest.fixture(params=FORMATS)
def folder(request, tmp_path):
    text, titles, content = FORMATS[request.param]
    (tmp_path / "ml-100k").mkdir()
    (tmp_path / "ml-100k" / request.param).write_text(text)
    (tmp_path / "ml-100k" / titles).write_bytes(content)
    return tmp_path / "ml-100k"


def check(data, titles=True):
    train = data.parts["train"]
    assert data.users == ["196", "186"] and data.items == ["242", "302"]
    assert train.users.tolist() == [0, 1, 0] and train.items.tolist() == [0, 1, 1]
    assert train.values.tolist() == [3.0, 3.0, 1.0]
    assert train.times.tolist() == [881250949.0, 891717742.0, 881250950.0]
    assert data.scale == (1.0, 3.0)
    if titles:
        assert data.titles["242"] == "Kolya (1996)"
        assert data.titles["302"] == "Mis\u00e9rables, Les (1995)"


def of(path, **options):
    return MovieLens(path=path, test=0, valid=0, **options)


def test_a_folder_and_the_one_above_it_and_the_file_itself(folder):
    check(of(folder))
    check(of(folder.parent))
    (file,) = (f for f in folder.iterdir() if f.name in FORMATS)
    check(of(file))
    other = file.rename(folder / "u1.base")
    data = of(other)
    check(data, titles=False)
    assert data.titles == {}


def test_an_archive_is_read_where_it_lies(folder, tmp_path):
    archive = tmp_path / "ml-100k.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for each in folder.iterdir():
            file.write(each, f"../../ml-100k/{each.name}")  # a path that would lead astray
            each.unlink()
    folder.rmdir()
    before = sorted(tmp_path.parent.rglob("*"))
    check(of(archive))
    check(of(tmp_path))
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_an_archive_without_titles_or_without_ratings(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x/u.data", U_DATA)
    data = of(archive)
    check(data, titles=False)
    assert data.titles == {}
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x/readme", "nothing")
    with pytest.raises(ConfigError, match=r"a\.zip has no u\.data or ratings\.dat or ratings\.csv"):
        _ = of(archive).parts


def test_a_damaged_archive_is_named(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("u.data", U_DATA * 1000)
    content = bytearray(archive.read_bytes())
    content[60] ^= 255
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip"):
        _ = of(archive).parts


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        _ = of(tmp_path, release="latest-small").parts
    assert "ml-latest-small.zip found in" in caught.value.message
    assert "https://files.grouplens.org/datasets/movielens/" in caught.value.hint
    assert "dataset.download=true to fetch it (1 MB)" in caught.value.hint
    with pytest.raises(ConfigError, match=r"dataset\.release is 'latest'"):
        MovieLens(release="latest")


def test_a_download_is_asked_for_with_its_sum(tmp_path, monkeypatch):
    asked = []

    def fetch(mirrors, sha256, target):
        asked.append((mirrors, sha256, target.name))
        with zipfile.ZipFile(target, "w") as file:
            file.writestr("ml-1m/ratings.dat", U_DATA.replace("\t", "::"))

    monkeypatch.setattr(movielens, "download", fetch)
    check(of(tmp_path, release="1m", download=True), titles=False)
    check(of(tmp_path, release="1m", download=True), titles=False)  # it is there by now
    assert asked == [(movielens.MIRRORS, movielens.SHA256["1m"], "ml-1m.zip")]
    for sha256 in movielens.SHA256.values():
        assert len(sha256) == len(hashlib.sha256().hexdigest()) and int(sha256, 16)


def test_a_broken_line_is_named(folder):
    (file,) = (f for f in folder.iterdir() if f.name in FORMATS)
    file.write_text(file.read_text() + "7 8 9\n")
    lines = len(file.read_text().splitlines())
    with pytest.raises(DataError, match=f"line {lines}: has 1 cell where 4 are wanted"):
        _ = of(folder).parts
    assert of(folder, on_error="skip").summary()["skipped_lines"] == 1
