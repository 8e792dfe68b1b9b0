"""Any file of delimited cells that has a user, an item and a rating in each line.

Holds the data set, and how columns and the delimiter are found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, List, Optional, Tuple

from dope.core.errors import ConfigError, DataError, did_you_mean
from dope.plugins.recsys.lines import (
    SHOWN,
    BadLine,
    Broken,
    Numbered,
    numbered_lines,
    opened,
    quoted,
)
from dope.plugins.recsys.rating_file import RatingFile
from dope.plugins.recsys.ratings import Source
from dope.plugins.recsys.reading import Columns, Delimited, cells, gather, numbers_of, seconds_of

WANTED = "a line for each rating: user, item, rating and, if you like, time"
DELIMITERS = ("\t", "::", ";", "|", ",", " ")
SPELLED = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}
LOOKED_AT = 50  # lines that decide on a delimiter
NAMES = {
    "user": r"u|user|reviewer|customer|member|visitor|person|viewer",
    "item": r"i|item|movie|film|product|book|song|track|artist|article|anime|game|asin|isbn",
    "rating": r"r|((star|book|user)[_ -]?)?rating|score|stars?|overall|value",
    "time": r"t|time|timestamp|date|datetime|unix_?review_?time|(rated|created)[_ -]?at",
}
ROLES = tuple(NAMES)


class Table(RatingFile):
    """Ratings of your own: a CSV file, or one with any other delimiter, plain or gzip.

    Each line has a user, an item, a rating and, if you like, a time: seconds since 1970, or a date
    such as 2020-01-31 or 2020-01-31T13:00:00. Other columns are left alone. Identifiers are text:
    7 and 007 are two users. Columns are found by name, such as ``user_id`` or ``rating``, or where
    the file has no names, by place: user, item, rating, time.

    Parameters
    ----------
    path
        The file.
    user, item, rating, time
        The column's name, or its number, counted from 1.
    header
        Whether the first line has names; null looks.
    delimiter
        What is between cells, such as ``;``, ``::`` or ``tab``; null looks.
    titles
        A file of the same delimiter, plain or gzip, whose first two columns are item and title;
        null leaves items without titles.
    """

    def __init__(
        self,
        *,
        path: Optional[Path] = None,
        user: Optional[str] = None,
        item: Optional[str] = None,
        rating: Optional[str] = None,
        time: Optional[str] = None,
        header: Optional[bool] = None,
        delimiter: Optional[str] = None,
        titles: Optional[Path] = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if path is None:
            raise ConfigError(
                "dataset.path is missing: recsys.table is read from a file",
                f"It has {WANTED}.",
            )
        if delimiter == "" or delimiter == '"':
            raise ConfigError(f"dataset.delimiter is '{delimiter}'", "It is , or ; or tab, say.")
        self.path = Path(path).expanduser()
        self.title_path = None if titles is None else Path(titles).expanduser()
        self.named = {"user": user, "item": item, "rating": rating, "time": time}
        self.header = header
        self.delimiter = None if delimiter is None else SPELLED.get(delimiter, delimiter)

    def read(self) -> Source:
        return self.read_from(self.path, self._columns)

    def read_titles(self) -> Mapping[str, str]:
        if self.title_path is None:
            return {}
        with opened(self.title_path) as stream:
            broken = Broken(str(self.title_path), self.skip)
            return titles_from(stream, broken, self.encoding, self.delimiter)

    def _columns(self, stream: BinaryIO, broken: Broken) -> Columns:
        lines = numbered_lines(stream, broken, self.encoding)
        start, lines = peeked(lines)
        delimiter = self.delimiter or found_delimiter(start)
        try:
            first = [cell.strip() for cell in cells(start[0], delimiter)] if start else []
        except BadLine:
            first = []
        if first:
            header = self._has_names(first)
            places = self._places(first, header, str(self.path))
            if header:
                lines = without_first(lines)
        else:
            places = (0, 1, 2, None)
        parse = Delimited(delimiter, max(len(first), 3), places)
        return gather(lines, parse, broken, self.limit, WANTED)

    def _has_names(self, first: List[str]) -> bool:
        """Whether the first line holds names and not a rating."""
        if self.header is not None:
            return self.header
        if any(name in first and not name.isdecimal() for name in self.named.values() if name):
            return True
        if sum(_by_name(role, first) is not None for role in ROLES[:3]) > 1:
            return True
        place = self.named["rating"] or "3"
        at = int(place) - 1 if place.isdecimal() else -1
        return not (0 <= at < len(first) and _is(numbers_of, first[at]))

    def _places(
        self, first: List[str], header: bool, file: str
    ) -> Tuple[int, int, int, Optional[int]]:
        """Places of user, item, rating and time."""
        taken = {
            role: self._given(role, name, first, header, file)
            for role, name in self.named.items()
            if name is not None
        }
        found: List[Optional[int]] = []
        for place, role in enumerate(ROLES):
            at: Optional[int] = place
            if role in taken:
                at = taken[role]
            elif header:
                at = _by_name(role, first)
            elif place >= len(first) or place in taken.values():
                at = None
            if role == "time" and role not in taken and at is not None and not header:
                at = at if _is(seconds_of, first[at]) else None  # another column, left alone
            if at is None and role != "time":
                what = f"are: {_listed(first)}" if header else f"are {len(first)}"
                raise DataError(
                    f"{file} has no column for the {role}; its columns {what}",
                    f"Name it by dataset.{role}, or say dataset.header=false if the first line is "
                    "a rating.",
                )
            found.append(at)
        return found[0] or 0, found[1] or 0, found[2] or 0, found[3]

    def _given(self, role: str, given: str, first: List[str], header: bool, file: str) -> int:
        if header and given in first:
            return first.index(given)
        if given.isdecimal() and 1 <= int(given) <= len(first):
            return int(given) - 1
        near = did_you_mean(given, first) if header else ""
        columns = f"Its columns are: {_listed(first)}." if header else ""
        raise DataError(
            f"{file} has no column '{given}' (dataset.{role})",
            f"{near} {columns or f'It has {len(first)} columns, without names.'}".strip(),
        )


def peeked(blocks: Iterator[Numbered]) -> tuple[List[str], Iterator[Numbered]]:
    """The first lines, and all blocks of lines again."""
    first = next(blocks, None)
    if first is None:
        return [], iter(())
    return first[1][:LOOKED_AT], chain([first], blocks)


def without_first(blocks: Iterable[Numbered]) -> Iterator[Numbered]:
    """Blocks of lines without the very first line."""
    for i, (numbers, lines) in enumerate(blocks):
        yield (numbers, lines) if i else (numbers[1:], lines[1:])


def found_delimiter(lines: List[str]) -> str:
    """What splits most lines into as many cells as the first, three or more; a comma if nothing."""
    best, most = ",", 0
    for delimiter in DELIMITERS:
        width = _width(lines[0], delimiter) if lines else 0
        alike = sum(_width(line, delimiter) == width for line in lines) if width >= 3 else 0
        if alike > most:
            best, most = delimiter, alike
    return best


def titles_from(
    stream: BinaryIO, broken: Broken, encoding: str, delimiter: Optional[str] = None
) -> Mapping[str, str]:
    """First cell to second cell of each line."""
    found = {}
    start, blocks = peeked(numbered_lines(stream, broken, encoding))
    if delimiter is None:  # two cells are enough here
        delimiter = max(DELIMITERS[:-1], key=lambda d: _width(start[0], d)) if start else ","
    for numbers, lines in blocks:
        for number, line in zip(numbers, lines):
            try:
                item, title, *_ = (cell.strip() for cell in cells(line, delimiter))
                found[item] = title
            except BadLine as error:
                broken.add(number, str(error))
            except ValueError:
                broken.add(number, "has one cell where an item and its title are wanted")
    return found


def _listed(names: List[str]) -> str:
    """The first dozen names for a message."""
    some = (name if name.isprintable() and len(name) <= SHOWN else quoted(name) for name in names)
    return ", ".join(islice(some, 12)) + (f" … ({len(names)} in all)" if len(names) > 12 else "")


def _width(line: str, delimiter: str) -> int:
    try:
        return len(cells(line, delimiter))
    except BadLine:
        return 0


def _by_name(role: str, names: List[str]) -> Optional[int]:
    """The leftmost column whose name says that it is this; also user_id, userId, UserID."""
    tail = r"([_ -]?(id|name|no|number|key))?" if role in ("user", "item") else ""
    pattern = re.compile(f"({NAMES[role]}){tail}", re.I)
    return next((i for i, name in enumerate(names) if pattern.fullmatch(name)), None)


def _is(kind: Any, cell: str) -> bool:
    try:
        kind([cell])
    except BadLine:
        return False
    return True
