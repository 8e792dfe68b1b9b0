"""A CSV file as a table of text: its delimiter, its names, its rows, and the lines that are broken.

Holds reading only; what the columns mean is in columns.py.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from dope.core.errors import DataError, did_you_mean

WANTED = "It should be a CSV file in UTF-8 with a row of column names"
SKIP = "Mend the line, or leave such lines out and counted: dataset.broken=skip"
WIDEST = 1 << 17  # characters of a cell
_MAGIC = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed with gzip",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF document",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


@dataclass
class Table:
    """The cells of a CSV file as text, column by column.

    Parameters
    ----------
    file
        Its path, for messages.
    columns
        Cells by column name; all columns have one length.
    lines
        The line of the file that each row ends on, counted from 1.
    skipped
        What was wrong with each line that was left out.
    """

    file: str
    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, name: str) -> Sequence[str]:
        return self.columns[name]

    def require(self, name: str, why: str) -> None:
        """Insist on a column.

        Raises
        ------
        DataError
            There is none of this name.
        """
        if name not in self.columns:
            near = did_you_mean(name, self.columns)
            raise DataError(
                f"{self.file} has no column '{name}' ({why})",
                f"{near} Its columns are: {listed(list(self.columns))}".strip(),
            )

    def without(self, broken: Mapping[int, str]) -> Table:
        """The table without some rows; what is wrong with each is kept."""
        kept = [row for row in range(len(self)) if row not in broken]
        return Table(
            self.file,
            {name: [cells[row] for row in kept] for name, cells in self.columns.items()},
            [self.lines[row] for row in kept],
            [*self.skipped, *broken.values()],
        )


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for a message, the first dozen of them."""
    some = ", ".join(names[:most])
    return some if len(names) <= most else f"{some} … ({len(names)} in all)"


def read_table(path: Path, *, delimiter: Optional[str] = None, skip: bool = False) -> Table:
    """Read a CSV file.

    Parameters
    ----------
    path
        The file.
    delimiter
        Between cells; by default that of ``,`` ``;`` tab ``|`` which splits the first rows alike.
    skip
        Leave broken lines out, and keep what is wrong with them.

    Raises
    ------
    DataError
        The file is absent, empty or no text; or, unless they are skipped, a line is not UTF-8, has
        more or fewer cells than there are names, or a cell without end. A quotation that is never
        closed is an error in any case: it would swallow all lines that follow.
    """
    text = _read_text(path, skip)
    names: list[str] = []
    rows, lines, skipped = [], [], []
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text), strict=True
    )
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise DataError(
                    f"line {first} of {path} opens a quotation mark that is never closed",
                    "Close it, or double a mark that is part of the text",
                ) from None
            problem = f"line {reader.line_num} of {path} is no CSV ({error})"
        else:
            if not any(cells):
                continue
            if not names:
                names = _header([cell.strip() for cell in cells], path)
                continue
            problem = _broken(cells, len(names), f"line {reader.line_num} of {path}")
        if not problem:
            rows.append([cell.strip() for cell in cells[: len(names)]])
            lines.append(reader.line_num)
        elif skip:
            skipped.append(problem)
        else:
            raise DataError(problem, SKIP)
    if not rows:
        raise DataError(f"{path} has no row of data below its column names", WANTED)
    columns = dict(zip(names, map(list, zip(*rows))))
    return Table(str(path), columns, lines, skipped)


def _broken(cells: Sequence[str], width: int, where: str) -> str:
    """What is wrong with a row, or nothing."""
    if len(cells) < width or any(cells[width:]):
        return f"{where} has {len(cells)} cells where the first row has {width}"
    for cell in cells:
        if any("\udc80" <= letter <= "\udcff" for letter in cell):
            return f"{where} is not UTF-8"
        if len(cell) > WIDEST:
            return f"{where} has a cell of {len(cell)} characters"
    return ""


def _header(names: Sequence[str], path: Path) -> list[str]:
    """Column names, each of them once."""
    found = [name or f"column {number}" for number, name in enumerate(names, 1)]
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        raise DataError(f"{path} has two columns named '{twice[0]}'", "Rename one of them")
    if len(found) > 1 and all(_number(name) for name in found):
        raise DataError(f"the first row of {path} holds numbers, not column names", WANTED)
    return found


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_text(path: Path, skip: bool) -> str:
    """The file's text, or the reason why it has none."""
    if path.is_dir():
        raise DataError(f"{path} is a directory", "Name a file in it. " + WANTED)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", WANTED) from None
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            raise DataError(f"{path} is {kind}, not CSV text", "Save it as CSV, in UTF-8")
    if b"\0" in data:
        raise DataError(f"{path} is a binary file, not CSV text", WANTED)
    try:
        text = data.decode("utf-8-sig", errors="surrogateescape" if skip else "strict")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"line {line} of {path} is not UTF-8 (byte 0x{data[error.start]:02x})",
            "Save the file again with the encoding UTF-8, or leave such lines out and counted: "
            "dataset.broken=skip",
        ) from None
    if not text.strip():
        raise DataError(f"{path} is empty", WANTED)
    return text.replace("\r\n", "\n").replace("\r", "\n")


class Absent(DataError):
    """A file that is not there: a trained model can do without."""


def missing(path: Path) -> Absent:
    """That there is no such file, with the near name."""
    near = ""
    if path.parent.is_dir():
        near = did_you_mean(path.name, (p.name for p in path.parent.iterdir() if p.is_file()))
    return Absent(f"there is no file {path} (seen from {Path.cwd()})", f"{near} {WANTED}".strip())


def _delimiter(text: str) -> str:
    """The delimiter that splits most of the first rows like the very first; a comma if none."""
    head = [line[:9999] for line in text.split("\n", 60)[:60] if line.strip()][:50]
    best, most = ",", 0
    for delimiter in ",;\t|":
        widths = [len(row) for row in csv.reader(head, delimiter=delimiter) if row]
        alike = widths.count(widths[0]) if widths and widths[0] > 1 else 0
        if alike > most:
            best, most = delimiter, alike
    return best
