"""What the columns of a table hold, found by looking: numbers, words, dates, or names of rows.

Holds the looking; what a model gets of a column is in encoding.py.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from dope.core.errors import ConfigError, DataError, did_you_mean
from dope.plugins.tabular.table import Table, listed

NUMERIC, CATEGORICAL, DATE, IDENTIFIER, LEFT_OUT = KINDS = (
    "numeric", "categorical", "date", "identifier", "left out",
)  # fmt: skip
NEARLY = 0.95  # share of numbers from which on another cell is taken for a mistake
LEAST = 20  # rows, or different words, below which looking tells little
APART = 0.9  # share of different words from which on they are names of rows
LARGEST = 1e100
EXACT = 2**53  # whole numbers above it are not exact as floating point
_NAME = re.compile(r"(?i)(.*[_\s.-])?(id|uuid|guid|key|index|row|nr|no)|[a-z]+Id|[a-z]+ID|column 1")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?Z?")


@dataclass(frozen=True)
class Wishes:
    """What the user says of columns; the rest is found by looking.

    Parameters
    ----------
    numeric, categorical, date, identifier, left_out
        Names of columns to be taken so.
    missing
        Cells that say that there is no value.
    """

    numeric: Sequence[str] = ()
    categorical: Sequence[str] = ()
    date: Sequence[str] = ()
    identifier: Sequence[str] = ()
    left_out: Sequence[str] = ()
    missing: Sequence[str] = ("", "NA")
    _kinds: Mapping[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        kinds: dict[str, str] = {}
        lists = (self.numeric, self.categorical, self.date, self.identifier, self.left_out)
        for kind, names in zip(KINDS, lists):
            for name in names:
                if kinds.setdefault(name, kind) != kind:
                    raise ConfigError(
                        f"column '{name}' is wished for as {kinds[name]} and as {kind}",
                        "Name it in one list only.",
                    )
        object.__setattr__(self, "_kinds", kinds)

    def kinds(self, table: Table) -> dict[str, tuple[str, str]]:
        """Kind of each column of a table, and why.

        Raises
        ------
        DataError
            A wish names no column.
        """
        for name, kind in self._kinds.items():
            table.require(name, f"which dataset says to be {kind}")
        missing = frozenset(self.missing)
        return {
            name: (self._kinds[name], "as told") if name in self._kinds else look(name, c, missing)
            for name, c in table.columns.items()
        }


def look(name: str, cells: Sequence[str], missing: frozenset) -> tuple[str, str]:
    """The kind of a column, and why."""
    present = [cell for cell in cells if cell not in missing]
    if not present:
        return LEFT_OUT, "it is empty"
    different = set(present)
    if len(different) == 1 and len(present) == len(cells):
        return LEFT_OUT, "it never changes"
    numbers = sum(number(cell) is not None for cell in present)
    if numbers == len(present) or (len(present) >= LEAST and numbers >= NEARLY * len(present)):
        whole = all(re.fullmatch(r"[+-]?\d+", cell) for cell in different)
        unique = len(different) == len(cells)
        if whole and unique and any(len(cell) > 17 or abs(int(cell)) > EXACT for cell in different):
            return IDENTIFIER, "huge whole numbers, no two alike"
        if whole and unique and _NAME.fullmatch(name):
            return IDENTIFIER, "whole numbers, no two alike, and its name"
        return NUMERIC, "numbers"
    if all(_DATE.fullmatch(cell) for cell in different):
        return DATE, "dates"
    if len(different) > LEAST and len(different) >= APART * len(present):
        return IDENTIFIER, "words, hardly two alike"
    return CATEGORICAL, "words"


def number(cell: str) -> Optional[float]:
    """The number in a cell; None if there is none, or none that can be squared."""
    try:
        found = float(cell)
    except ValueError:
        return None
    return found if math.isfinite(found) and abs(found) < LARGEST and "_" not in cell else None


def day(cell: str) -> Optional[float]:
    """Days since 1970-01-01 of a date; None if it is none."""
    text = cell.rstrip("Z").replace(" ", "T")
    date, _, time = text.partition("T")
    try:
        year, month, of_month = map(int, date.split("-"))
        hour, minute, second = [*map(float, time.split(":") if time else ()), 0.0, 0.0, 0.0][:3]
        moment = datetime.datetime(year, month, of_month, int(hour), int(minute), int(second))
    except ValueError:
        return None
    days = (moment - datetime.datetime(1970, 1, 1)).total_seconds() / 86400
    return days + second % 1 / 86400


def values(table: Table, name: str, kind: str, missing: frozenset) -> np.ndarray:
    """A column of numbers or dates as float64 (rows,), NaN where missing or not to be read."""
    read = number if kind == NUMERIC else day
    found = np.full(len(table), np.nan)
    for row, cell in enumerate(table[name]):
        if cell not in missing:
            value = read(cell)
            if value is not None:
                found[row] = value
    return found


def broken(table: Table, name: str, kind: str, missing: frozenset) -> dict[int, str]:
    """Rows whose cell is neither missing nor of the column's kind, and what is wrong with each."""
    read, what = (number, "a number") if kind == NUMERIC else (day, "a date such as 2020-01-31")
    where = f"column '{name}' of {table.file}"
    return {
        row: f"line {table.lines[row]}, {where}: {quoted(cell)} is not {what}"
        for row, cell in enumerate(table[name])
        if cell not in missing and read(cell) is None
    }


def quoted(cell: str) -> str:
    """A cell for a message, cut where it is long."""
    return f"'{cell}'" if len(cell) <= 40 else f"'{cell[:37]}…'"


def unknown(table: Table, known: Sequence[str], where: str) -> None:
    """Insist on the known columns.

    Raises
    ------
    DataError
        Some are missing.
    """
    absent = [name for name in known if name not in table.columns]
    if absent:
        others = [name for name in table.columns if name not in known]
        near = did_you_mean(absent[0], others)
        raise DataError(
            f"{table.file} has no column {listed([quoted(name) for name in absent])} ({where})",
            f"{near} It has: {listed(list(table.columns))}".strip(),
        )
