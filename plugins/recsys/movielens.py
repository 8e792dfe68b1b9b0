"""MovieLens in all its formats, from a folder, a file, or the archive without unpacking it.

Holds the data set; downloading is in core/downloads.py, reading lines in reading.py.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, Optional

from dope.core.downloads import cache_folder, download
from dope.core.errors import ConfigError, DataError
from dope.plugins.recsys.lines import Broken, numbered_lines, opened
from dope.plugins.recsys.rating_file import RatingFile
from dope.plugins.recsys.ratings import Source
from dope.plugins.recsys.reading import Columns, Delimited, gather
from dope.plugins.recsys.table import found_delimiter, peeked, titles_from, without_first

MIRRORS = ("https://files.grouplens.org/datasets/movielens/",)
SHA256 = {  # as TensorFlow Datasets publishes them in url_checksums/movielens.txt
    "100k": "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
    "latest-small": "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
    "1m": "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
    "20m": "96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
    "25m": "8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa",
}
SIZES = {"100k": "5 MB", "latest-small": "1 MB", "1m": "6 MB", "20m": "199 MB", "25m": "262 MB"}
RATINGS = ("u.data", "ratings.dat", "ratings.csv")
TITLES = {"u.data": "u.item", "ratings.dat": "movies.dat", "ratings.csv": "movies.csv"}
PARTED = {"u.data": "|", "ratings.dat": "::", "ratings.csv": ","}  # what is between id and title
WANTED = "a line for each rating: user, movie, rating, time, with a tab, :: or a comma between"


class MovieLens(RatingFile):
    """MovieLens: stars that people gave films, from 100,000 to 25 million ratings.

    Harper and Konstan, "The MovieLens Datasets: History and Context" (2015). Free for research;
    GroupLens asks to be cited, and not to have it passed on without permission.

    Parameters
    ----------
    path
        A folder with ``u.data``, ``ratings.dat`` or ``ratings.csv``, or the one above it, or such
        a file under any name, or the archive such as ``ml-100k.zip``; default dope's cache
        folder. Titles are read from ``u.item``, ``movies.dat`` or ``movies.csv`` beside it.
    release
        Which archive is looked for, and fetched: 943 users and 1,682 films (``100k``), 610 and
        9,724 (``latest-small``), 6,040 and 3,706 (``1m``), or the large ``20m`` and ``25m``.
    download
        Fetch the archive, checked by SHA-256, into ``path`` or the cache folder, where it is not
        there yet.
    """

    def __init__(
        self,
        *,
        path: Optional[Path] = None,
        release: Literal["100k", "latest-small", "1m", "20m", "25m"] = "100k",
        download: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if release not in SHA256:
            raise ConfigError(f"dataset.release is '{release}'", f"It is {', '.join(SHA256)}.")
        self.path = None if path is None else Path(path).expanduser()
        self.release, self.download = release, download

    def read(self) -> Source:
        place = self._place()
        return self.read_from(place, self._columns, within(RATINGS))

    def read_titles(self) -> Mapping[str, str]:
        place = self._place()
        for ratings, titles in TITLES.items():
            if zipfile.is_zipfile(place) or place.name in (ratings, f"{ratings}.gz"):
                try:
                    return self._titles(place, titles, PARTED[ratings])
                except ConfigError:
                    continue  # ratings without titles
        return {}

    def _titles(self, place: Path, name: str, delimiter: str) -> Mapping[str, str]:
        beside = place if zipfile.is_zipfile(place) else _existing(place.parent, name)
        if beside is None:
            return {}
        for encoding in ("utf-8", "latin-1"):  # older releases have the second, unsaid
            try:
                with within((name,))(beside) as stream:
                    return titles_from(stream, Broken(str(beside), False), encoding, delimiter)
            except DataError:
                if encoding == "latin-1":
                    raise
        return {}

    def _columns(self, stream: BinaryIO, broken: Broken) -> Columns:
        start, lines = peeked(numbered_lines(stream, broken, self.encoding))
        if start and start[0].lower().startswith("userid"):
            lines = without_first(lines)
        parse = Delimited(found_delimiter(start), 4, (0, 1, 2, 3))
        return gather(lines, parse, broken, self.limit, WANTED)

    def _place(self) -> Path:
        """The file of ratings, or the archive."""
        place = self.path or cache_folder("movielens")
        if place.is_file():
            return place
        archive = f"ml-{self.release}.zip"
        for folder in (place, place / f"ml-{self.release}"):
            for name in RATINGS:
                file = _existing(folder, name)
                if file is not None:
                    return file
        file = place / archive
        if not file.is_file():
            if not self.download:
                raise ConfigError(
                    f"MovieLens: neither {', '.join(RATINGS)} nor {archive} found in {place}",
                    f"Wanted is {archive} from {MIRRORS[0]}: set dataset.path to it or to the "
                    f"unpacked folder, or dataset.download=true to fetch it "
                    f"({SIZES[self.release]}).",
                )
            download(MIRRORS, SHA256[self.release], file)
        return file


def _existing(folder: Path, name: str) -> Optional[Path]:
    """The file of this name, plain or gzip."""
    return next((f for f in (folder / name, folder / f"{name}.gz") if f.is_file()), None)


def within(names: tuple[str, ...]) -> Any:
    """What opens a file, or the first of these names in an archive, read where it lies."""

    @contextmanager
    def opener(path: Path) -> Iterator[BinaryIO]:
        if not zipfile.is_zipfile(path):
            with opened(path) as stream:
                yield stream
            return
        try:
            with zipfile.ZipFile(path) as archive:
                by_name = {PurePosixPath(n).name: n for n in archive.namelist()}
                member = next((by_name[name] for name in names if name in by_name), None)
                if member is None:
                    raise ConfigError(
                        f"{path} has no {' or '.join(names)}", f"Wanted is one of {MIRRORS[0]}."
                    )
                with archive.open(member) as stream:
                    yield stream  # type: ignore[misc]
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise DataError(
                f"{path} cannot be read as an archive ({error})", "Get it again."
            ) from error

    return opener
