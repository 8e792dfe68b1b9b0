"""Reading ratings from lines: cells, identifiers, numbers, times, put together as columns.

Holds what turns lines into columns; which file has which columns is the matter of each data set.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count
from operator import itemgetter
from typing import Callable, List, NamedTuple, Optional, Tuple

import numpy as np

from dope.core.errors import DataError
from dope.plugins.recsys.lines import BadLine, Broken, Numbered, quoted


class Parsed(NamedTuple):
    """What a few lines say: identifiers, ratings float64 (n,), times float64 (n,) or None."""

    users: Sequence[str]
    items: Sequence[str]
    values: np.ndarray
    times: Optional[np.ndarray]


class Columns(NamedTuple):
    """What a file says: identifiers in order of first appearance, and a number for each rating."""

    user_ids: List[str]
    item_ids: List[str]
    users: np.ndarray
    items: np.ndarray
    values: np.ndarray
    times: Optional[np.ndarray]


def gather(
    blocks: Iterable[Numbered],
    parse: Callable[[Sequence[int], List[str], Broken], Parsed],
    broken: Broken,
    limit: Optional[int],
    wanted: str,
) -> Columns:
    """Read blocks of lines until they end or there are ``limit`` ratings.

    Parameters
    ----------
    parse
        Makes columns of a few lines, and says which are broken.
    wanted
        What the file should hold, for the message when it holds none.

    Raises
    ------
    DataError
        There is no rating.
    """
    users: defaultdict[str, int] = defaultdict(count().__next__)
    items: defaultdict[str, int] = defaultdict(count().__next__)
    pieces, found = [], 0
    for numbers, lines in blocks:
        while lines and found != limit:
            n = len(lines) if limit is None else limit - found  # no line is read beyond the limit
            part = parse(numbers[:n], lines[:n], broken)
            numbers, lines = numbers[n:], lines[n:]
            n = len(part.values)
            pieces.append(
                (
                    np.fromiter(map(users.__getitem__, part.users), np.int32, n),
                    np.fromiter(map(items.__getitem__, part.items), np.int32, n),
                    part.values.astype(np.float32),
                    np.full(n, np.nan) if part.times is None else part.times,
                )
            )
            found += n
        if found == limit:
            break
    if not found:
        skipped = (
            f"; {broken.count} lines were skipped, {broken.samples[0]}" if broken.count else ""
        )
        raise DataError(f"{broken.source} holds no rating{skipped}", f"Wanted is {wanted}.")
    who, what, values, times = (np.concatenate(column) for column in zip(*pieces))
    known = None if np.isnan(times).all() else times
    return Columns(list(users), list(items), who, what, values, known)


class Delimited:
    """Lines of cells with something between them; quotation marks may hold a cell together.

    Parameters
    ----------
    delimiter
        What is between cells, one character or more.
    width
        Cells that each line has.
    columns
        Which cells are user, item, rating and, unless it is None, time, counted from 0.
    """

    def __init__(
        self, delimiter: str, width: int, columns: Tuple[int, int, int, Optional[int]]
    ) -> None:
        self.delimiter, self.width = delimiter, width
        self.user, self.item, self.rating, self.time = columns

    def __call__(self, numbers: Sequence[int], lines: List[str], broken: Broken) -> Parsed:
        try:
            return self._together(self._rows(lines))
        except ValueError:
            good = []
            for number, line in zip(numbers, lines):
                try:
                    row = cells(line, self.delimiter)
                    self._together([row])
                    good.append(row)
                except ValueError as error:
                    broken.add(number, str(error))
            return self._together(good)

    def _rows(self, lines: List[str]) -> List[List[str]]:
        """The cells of many lines, unless one of them needs a closer look."""
        if len(self.delimiter) > 1 or not any('"' in line for line in lines):
            return [line.split(self.delimiter) for line in lines]
        try:
            rows = list(csv.reader(lines, delimiter=self.delimiter, strict=True))
        except csv.Error:
            raise BadLine from None
        if len(rows) != len(lines):  # a cell went on over the end of its line
            raise BadLine
        return rows

    def _together(self, rows: List[List[str]]) -> Parsed:
        """Columns of rows, of which a reason is given if there is but one."""
        if any(len(row) != self.width for row in rows):
            n = len(rows[0])
            raise BadLine(f"has {n} cell{'s' * (n != 1)} where {self.width} are wanted")
        users, items = self._column(rows, self.user), self._column(rows, self.item)
        for name, column in (("user", users), ("item", items)):
            if "" in column:
                raise BadLine(f"has no {name}")
        values = numbers_of(self._column(rows, self.rating))
        times = None if self.time is None else seconds_of(self._column(rows, self.time))
        return Parsed(users, items, values, times)

    @staticmethod
    def _column(rows: List[List[str]], index: int) -> List[str]:
        return list(map(str.strip, map(itemgetter(index), rows)))


def cells(line: str, delimiter: str) -> List[str]:
    """The cells of a line.

    Raises
    ------
    BadLine
        A quotation mark is not closed, or text follows it.
    """
    if '"' not in line or len(delimiter) > 1:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise BadLine(f"is no CSV ({error})") from None


def numbers_of(texts: Sequence[str]) -> np.ndarray:
    """Ratings as float64, each finite and so as float32 too.

    Raises
    ------
    BadLine
        One is not.
    """
    try:
        values = np.fromiter(map(float, texts), np.float64, len(texts))
        if "_" not in "".join(texts) and (np.abs(values) <= np.finfo(np.float32).max).all():
            return values
    except ValueError:
        pass
    raise BadLine(f"{quoted(texts[0])} is no rating, which is a finite number")


def seconds_of(texts: Sequence[str]) -> np.ndarray:
    """Times as seconds since 1970, float64, of numbers or of dates as ISO 8601 writes them.

    Raises
    ------
    BadLine
        One is neither.
    """
    try:
        times = np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        times = np.array([_seconds(text) for text in texts])
    if not np.isfinite(times).all():
        raise BadLine(f"{quoted(texts[0])} is no time")
    return times


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = np.datetime64(text[:-1] if text.endswith("Z") else text, "ms")
        return math.nan if np.isnat(moment) else float(moment.astype(np.int64)) / 1000
    except ValueError:
        return math.nan
