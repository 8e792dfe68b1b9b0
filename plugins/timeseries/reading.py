"""Reading series from a CSV file: the table, which columns hold what, stamps and numbers.

Holds what turns text into columns, with errors that name file, line and column; the shaping of
columns into series is in shaping.py, the calendar in stamps.py.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional

import numpy as np

from dope.core.errors import DataError, did_you_mean
from dope.plugins.timeseries.stamps import UnreadableStamp, parse_stamps, quoted, stamp_form

WANTED = (
    "It should be a CSV file with a row of column names, a date column and at least one column "
    "of numbers"
)
MISSING = frozenset(["", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-", "."])  # lower case
_TIME_NAME = re.compile(
    "date|datetime|time|timestamp|year|quarter|month|week|day|hour|period|step|t|ds|index", re.I
)
_MAGIC = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed with gzip",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF document",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def listed(names: Sequence[str]) -> str:
    """Names for a message, the first dozen of them."""
    some = ", ".join(names[:12])
    return some if len(names) <= 12 else f"{some} … ({len(names)} in all)"


@dataclass
class Table:
    """The cells of a CSV file, stripped, column by column.

    Parameters
    ----------
    file
        The path as the user wrote it, for messages.
    names
        Column names; ``column 1`` … where the file has none.
    columns
        One list of cells a column, all of one length.
    lines
        The line of the file that each row ends on, counted from 1.
    """

    file: str
    names: List[str]
    columns: List[List[str]]
    lines: List[int]

    def find(self, name: str, option: str) -> int:
        """Index of the column called ``name``, which the user gave as ``dataset.<option>``."""
        if name not in self.names:
            raise DataError(
                f"{self.file} has no column '{name}' (dataset.{option})",
                f"{did_you_mean(name, self.names)} Its columns are: {listed(self.names)}".strip(),
            )
        return self.names.index(name)


@dataclass
class Columns:
    """What was read: one stamp, one label and one row of numbers for each row of the file.

    Parameters
    ----------
    stamps
        (rows,) datetime64 or int64.
    labels
        (rows,) name of the row's series, or None when each column is a series.
    names
        Names of the value columns.
    values
        (rows, columns) float64, NaN where missing.
    lines
        (rows,) line numbers, for messages.
    """

    stamps: np.ndarray
    labels: Optional[List[str]]
    names: List[str]
    values: np.ndarray
    lines: np.ndarray


def read_columns(
    path: str,
    *,
    date: Optional[str] = None,
    value: Optional[Sequence[str]] = None,
    series: Optional[str] = None,
    day_first: Optional[bool] = None,
    decimal: Optional[str] = None,
    plain_steps: bool = False,
) -> Columns:
    """Read a CSV file; options as in `dope.plugins.timeseries.series.Csv`.

    Parameters
    ----------
    plain_steps
        Take whole numbers in the date column as step numbers even if they look like years.

    Raises
    ------
    DataError
        The file cannot be read as series: absent, empty, binary, not UTF-8, ragged; no such
        column, no column of numbers, a cell that is no number or no stamp.
    """
    table = read_table(path)
    where = None if date is None else table.find(date, "date")
    label = None if series is None else table.find(series, "series")
    wanted = None if value is None else [table.find(name, "value") for name in value]
    taken = {label, *(wanted or [])}
    if where is None:
        where = _find_dates(table, taken)
    taken.add(where)
    chosen = wanted if wanted is not None else _find_numbers(table, taken)
    stamps = _read_stamps(table, where, label, day_first, plain_steps)
    if label is None and where is not None and len(np.unique(stamps)) < len(stamps):
        label = _find_labels(table, {where, *chosen})
    if label is not None and "" in table.columns[label]:
        line = table.lines[table.columns[label].index("")]
        raise DataError(
            f"line {line} of {table.file} has no name in the series column '{table.names[label]}'",
            "Fill the cell or delete the row",
        )
    decimal = decimal or _find_decimal(table, chosen)
    values = np.stack([_read_numbers(table, index, decimal) for index in chosen], axis=1)
    names = [table.names[index] for index in chosen]
    labels = None if label is None else table.columns[label]
    return Columns(stamps, labels, names, values, np.array(table.lines))


def read_table(path: str) -> Table:
    """The cells of a CSV file, its delimiter (``,`` ``;`` tab ``|``) and header found.

    Raises
    ------
    DataError
        The file is absent, empty, binary, not UTF-8, or its rows differ in length.
    """
    text = _read_text(path)
    skipped = 0
    while text.startswith("#"):  # a preamble of comments
        text = text.partition("\n")[2]
        skipped += 1
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    rows, lines = [], []
    try:
        for cells in reader:
            row = [" ".join(c.split()) if "\n" in c else c.strip() for c in cells]
            if any(row):
                rows.append(row)
                lines.append(reader.line_num + skipped)
    except csv.Error as error:
        raise DataError(
            f"line {reader.line_num + skipped} of {path} is no CSV ({error})",
            "Look for a quotation mark that is not closed",
        ) from None
    if not rows:
        raise DataError(f"{path} is empty", WANTED)
    names = _header(rows)
    if names is None:
        names = [""] * max(len(row) for row in rows)
    else:
        del rows[0], lines[0]
    names = [name or f"column {index + 1}" for index, name in enumerate(names)]
    width = len(names)
    for row, line in zip(rows, lines):
        if len(row) < width or any(row[width:]):
            raise DataError(
                f"line {line} of {path} has {len(row)} cells where the first row has {width}",
                "Complete the row, or put text that holds the delimiter in quotation marks",
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path} has two columns named '{twice[0]}'", "Rename one of them")
    if not rows:
        raise DataError(f"{path} has a row of column names and nothing below it", WANTED)
    return Table(path, names, [[row[i] for row in rows] for i in range(width)], lines)


def _read_text(path: str) -> str:
    """The file's text, or the reason why it has none."""
    file = Path(path).expanduser()
    if file.is_dir():
        raise DataError(f"{path} is a directory", f"Name a file in it (dataset.path). {WANTED}")
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        near = did_you_mean(file.name, (p.name for p in file.parent.glob("*") if p.is_file()))
        raise DataError(
            f"there is no file {path} (dataset.path, seen from {Path.cwd()})",
            f"{near} {WANTED}".strip(),
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", WANTED) from None
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            raise DataError(f"{path} is {kind}, not CSV text", "Save it as CSV, in UTF-8")
    if b"\0" in data:
        raise DataError(f"{path} is a binary file, not CSV text", WANTED)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"line {line} of {path} is not UTF-8 (byte 0x{data[error.start]:02x})",
            "Save the file again with the encoding UTF-8",
        ) from None
    if not text.strip():
        raise DataError(f"{path} is empty", WANTED)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _delimiter(text: str) -> str:
    """The delimiter that splits most of the first rows like the very first; a comma if none."""
    head = [line[:9999] for line in text.split("\n", 60)[:60] if line.strip()][:50]
    best, most = ",", 0
    for delimiter in ";\t|,":  # with decimal commas both ; and , may split evenly: ; it is
        widths = [len(row) for row in csv.reader(head, delimiter=delimiter) if row]
        alike = widths.count(widths[0]) if widths and widths[0] > 1 else 0
        if alike > most:
            best, most = delimiter, alike
    return best


def _header(rows: List[List[str]]) -> Optional[List[str]]:
    """The first row when it holds names; None when it holds data like the rows below it."""
    numbers = [_is_number(cell) for cell in rows[0]]
    dates = [stamp_form([cell]) for cell in rows[0]]
    all_data = all(
        number or date or cell.lower() in MISSING
        for cell, number, date in zip(rows[0], numbers, dates)
    )
    if any(numbers) and (all_data or "date" in dates or "day and month" in dates):
        return None
    return rows[0]


def _number(cell: str, decimal: str) -> Optional[float]:
    """The number in a cell, written with this decimal mark; None when there is none."""
    if decimal == "," or "," in cell:
        groups = "." if decimal == "," else ","
        if groups in cell:
            pattern = rf"[+-]?[1-9]\d{{0,2}}(\{groups}\d{{3}})+(\{decimal}\d*)?"
            if not re.fullmatch(pattern, cell):
                return None
        cell = cell.replace(groups, "").replace(decimal, ".")
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _is_number(cell: str) -> bool:
    return _number(cell, ".") is not None or _number(cell, ",") is not None


def _find_dates(table: Table, taken: set) -> Optional[int]:
    """The date column: the leftmost of dates, or of whole numbers that can count time."""
    free = [index for index in range(len(table.names)) if index not in taken]
    for index in free:
        cells = [cell for cell in table.columns[index] if cell]
        if cells and stamp_form(cells):
            return index
    for index in free if len(table.names) > 1 else []:
        form = stamp_form(table.columns[index], whole=True)
        if form and _TIME_NAME.fullmatch(table.names[index]):
            return index
        if form and index == 0 and _counts_time(table.columns[index], form):
            return index
    return None


def _counts_time(cells: Sequence[str], form: str) -> bool:
    """Whether whole numbers without a telling name rise as years, row numbers or 202001 do."""
    if not all(cell.isdecimal() for cell in cells) or len(cells) < 2:
        return False
    steps = np.diff([int(cell) for cell in cells])
    least = steps.min()
    if least <= 0 or form in ("compact month", "compact date"):
        return bool(least > 0)
    steady = np.all(steps % least == 0) and np.mean(steps == least) >= 0.5
    return bool(steady and (least == 1 or form == "year"))


def _find_numbers(table: Table, taken: set) -> List[int]:
    """The columns in which most cells that are not missing are numbers."""
    chosen = []
    for index, cells in enumerate(table.columns):
        present = [cell for cell in cells if cell.lower() not in MISSING]
        if index not in taken and sum(map(_is_number, present)) * 2 > len(present):
            chosen.append(index)
    if not chosen:
        raise DataError(
            f"{table.file} has no column of numbers; its columns are: {listed(table.names)}",
            WANTED,
        )
    return chosen


def _find_labels(table: Table, taken: set) -> Optional[int]:
    """The one text column, which tells the series of a long file apart; None if not just one."""
    texts = [
        index
        for index, cells in enumerate(table.columns)
        if index not in taken and any(cells) and not all(map(_is_number, filter(None, cells)))
    ]
    return texts[0] if len(texts) == 1 else None


def _read_stamps(
    table: Table,
    where: Optional[int],
    label: Optional[int],
    day_first: Optional[bool],
    plain_steps: bool,
) -> np.ndarray:
    """The stamps of the date column; 1, 2, 3 … in each series when there is none."""
    if where is None:
        seen: Counter = Counter()
        steps = []
        for name in table.columns[label] if label is not None else [""] * len(table.lines):
            seen[name] += 1
            steps.append(seen[name])
        return np.array(steps, dtype=np.int64)
    cells, name = table.columns[where], table.names[where]
    if "" in cells:
        line = table.lines[cells.index("")]
        raise DataError(
            f"line {line} of {table.file} has no stamp in its date column '{name}'",
            "Fill the cell or delete the row",
        )
    form = stamp_form(cells, whole=True)
    if form is None:
        raise DataError(
            f"column '{name}' of {table.file} holds no dates: its first cell is {quoted(cells[0])}",
            "Dates are written 2020-01-31, 2020-01-31 13:00, 2020-01, 2020Q1 or 2020; or name "
            "another column by dataset.date",
        )
    if plain_steps and form in ("year", "compact month", "compact date"):
        form = "step"
    try:
        return parse_stamps(cells, form, day_first)
    except UnreadableStamp as error:
        raise DataError(
            f"line {table.lines[error.row]}, column '{name}' of {table.file}: {error.reason}",
            error.hint or "Mend the cell, or delete the row if it is not data",
        ) from None


def _find_decimal(table: Table, chosen: Sequence[int]) -> str:
    """The decimal mark of the value columns: a point unless commas can be nothing else."""
    cells = [cell for index in chosen for cell in table.columns[index] if "," in cell]
    if not cells:
        return "."
    only_comma = [cell for cell in cells if _number(cell, ".") is None and _is_number(cell)]
    others = (cell for index in chosen for cell in table.columns[index] if "." in cell)
    if only_comma:
        only_point = any(_number(cell, ",") is None and _is_number(cell) for cell in others)
        return "." if only_point else ","
    if any("." in cell for cell in cells) or any(_is_number(cell) for cell in others):
        return "."
    raise DataError(
        f"{quoted(cells[0])} in {table.file} may be a decimal comma or a mark of thousands",
        "Say which mark is the decimal one: dataset.decimal=, or dataset.decimal=.",
    )


def _read_numbers(table: Table, index: int, decimal: str) -> np.ndarray:
    """One column as float64, NaN where missing."""
    values = np.full(len(table.lines), np.nan)
    name = table.names[index]
    for row, cell in enumerate(table.columns[index]):
        if cell.lower() in MISSING:
            continue
        number = _number(cell, decimal)
        place = f"line {table.lines[row]}, column '{name}' of {table.file}"
        if number is None:
            raise DataError(
                f"{place}: {quoted(cell)} is not a number",
                "Mend the cell (leave it empty if the value is missing), or name the columns to "
                "read by dataset.value",
            )
        if np.isinf(number):
            raise DataError(f"{place} is infinite", "Leave the cell empty if the value is missing")
        values[row] = number
    if np.isnan(values).all():
        raise DataError(
            f"column '{name}' of {table.file} has no number in it",
            "Name the columns to read by dataset.value",
        )
    return values
