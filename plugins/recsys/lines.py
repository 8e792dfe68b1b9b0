"""Lines of text: from files plain or gzip, of bounded length, numbered; and what is broken in them.

Holds what happens before a line's meaning matters; cells and columns are read in reading.py.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, List, Tuple

from dope.core.errors import ConfigError, DataError, did_you_mean

LONGEST = 1 << 20  # characters of a line; whatever is longer is broken
BLOCK = 1 << 20  # bytes that are read together
SAMPLES = 5  # skipped lines of which the reason is kept
SHOWN = 40  # characters of a cell in a message
REMEDY = "Mend the line, or leave such lines out and count them: dataset.on_error=skip."
FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"BZh": "compressed with bzip2",
    b"\xfd7zX": "compressed with xz",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF document",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}

Numbered = Tuple[Sequence[int], List[str]]  # numbers of lines, counted from 1, and the lines


class Broken:
    """What happens to lines that cannot be read: the first stops all, or they are counted.

    Parameters
    ----------
    source
        The file as the user knows it.
    skip
        Count, and go on.

    Attributes
    ----------
    count : int
        Lines that were skipped.
    samples : list of str
        The first few of them, each with its reason.
    """

    def __init__(self, source: str, skip: bool) -> None:
        self.source, self.skip = source, skip
        self.count = 0
        self.samples: list[str] = []

    def add(self, line: int, reason: str, remedy: str = REMEDY) -> None:
        """A broken line.

        Raises
        ------
        DataError
            Unless broken lines are skipped.
        """
        if not self.skip:
            raise DataError(f"{self.source}, line {line}: {reason}", remedy)
        self.count += 1
        if len(self.samples) < SAMPLES:
            self.samples.append(f"{self.source}, line {line}: {reason}")


class BadLine(ValueError):
    """One line, or one cell of it, is not what it should be; the text is the reason."""


def quoted(text: Any) -> str:
    """Text for a message, in quotation marks and not too long."""
    text = str(text)
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")


def check_encoding(name: str) -> str:
    """Insist on an encoding that Python knows and in which ASCII is ASCII."""
    signs = "".join(map(chr, (9, 10, 13, *range(32, 127))))
    try:
        if signs.encode(name) == signs.encode("ascii"):
            return name
        reason, remedy = "is not made of ASCII and more", "Save the file in UTF-8"
    except (LookupError, UnicodeError):
        reason, remedy = "is not known", "It is utf-8, latin-1, cp1252 or the like"
    raise ConfigError(f"dataset.encoding={name} {reason}", f"{remedy}.")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file; what gzip has compressed is expanded on the way.

    Raises
    ------
    ConfigError
        There is no such file.
    DataError
        It cannot be read, or is of a kind that has no lines.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        near = did_you_mean(path.name, (p.name for p in path.parent.glob("*")))
        raise ConfigError(
            f"there is no file {path}", f"Mend dataset.path. {near}".strip()
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", "Mend dataset.path.") from None
    with file:
        start = file.peek(8)
        kind = next((name for magic, name in FOREIGN.items() if start.startswith(magic)), None)
        if kind:
            raise DataError(f"{path} is {kind}, not lines of text", "Save it as text in UTF-8.")
        if not start.startswith(b"\x1f\x8b"):
            yield file
            return
        with gzip.GzipFile(fileobj=file) as expanded:
            yield expanded  # type: ignore[misc]


def numbered_lines(stream: BinaryIO, broken: Broken, encoding: str) -> Iterator[Numbered]:
    """Lines that are not blank, some thousands at a time, with their numbers.

    Lines that are too long, or not in ``encoding``, or have a zero byte, are broken.

    Raises
    ------
    DataError
        The stream is damaged, or a line is broken and they are not to be skipped.
    """
    for first, data in _blocks(stream, broken):
        try:
            text = data.decode(encoding)
            lines = text.split("\n")
            numbers: Sequence[int] = range(first, first + len(lines))
            if "\0" in text or max(map(len, lines)) > LONGEST:
                raise BadLine
        except ValueError:  # of which UnicodeDecodeError is one
            numbers, lines = _one_by_one(first, data, broken, encoding)
        if not all(map(str.strip, lines)):
            kept = [i for i, line in enumerate(lines) if line.strip()]
            numbers, lines = [numbers[i] for i in kept], [lines[i] for i in kept]
        if lines:
            yield numbers, lines


def _blocks(stream: BinaryIO, broken: Broken) -> Iterator[tuple[int, bytes]]:
    """Whole lines, about `BLOCK` bytes of them, with the number of the first."""
    line, tail, passing = 1, b"", False
    while True:
        try:
            block = stream.read(BLOCK)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{broken.source} is damaged ({error})", "Get the file again."
            ) from error
        if line == 1 and not tail and block.startswith(b"\xef\xbb\xbf"):
            block = block[3:]
        if passing:  # the rest of a line that was too long
            end = block.find(b"\n") + 1
            if not end and block:
                continue
            passing, block, line = False, block[end:], line + 1
        data = tail + block
        if not block:
            if data:
                yield line, data
            return
        end = data.rfind(b"\n")
        tail = data[end + 1 :]
        if end >= 0:
            yield line, data[:end]
            line += data.count(b"\n", 0, end + 1)
        if len(tail) > 4 * LONGEST:  # no character takes more bytes
            broken.add(line, f"longer than {LONGEST:,} characters")
            tail, passing = b"", True


def _one_by_one(
    first: int, data: bytes, broken: Broken, encoding: str
) -> tuple[List[int], List[str]]:
    """The good lines of a block that has bad ones."""
    numbers, lines = [], []
    for number, raw in enumerate(data.split(b"\n"), first):
        try:
            line = raw.decode(encoding)
        except UnicodeDecodeError as error:
            broken.add(
                number,
                f"not {encoding.upper()} (byte 0x{raw[error.start]:02x})",
                "Set dataset.encoding to what the file is in, such as latin-1 or cp1252, or leave "
                "such lines out and count them: dataset.on_error=skip.",
            )
            continue
        if len(line) > LONGEST:
            broken.add(number, f"longer than {LONGEST:,} characters")
        elif "\0" in line:
            broken.add(number, "has a zero byte, so this is hardly text")
        else:
            numbers.append(number)
            lines.append(line)
    return numbers, lines
