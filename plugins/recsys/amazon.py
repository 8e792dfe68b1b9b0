"""Amazon's reviews: one review a line, as JSON or as Python once printed a dictionary.

Holds the data set and its parser. Nothing is ever evaluated: the older form is rewritten as JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, List, Optional

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.recsys.lines import BadLine, Broken, numbered_lines, opened, quoted
from dope.plugins.recsys.rating_file import RatingFile
from dope.plugins.recsys.ratings import Source
from dope.plugins.recsys.reading import Columns, Parsed, gather

HOME = "https://cseweb.ucsd.edu/~jmcauley/datasets.html"
WANTED = "one review a line: {'reviewerID': …, 'asin': …, 'overall': 5.0, 'unixReviewTime': …}"
LARGEST = float(np.finfo(np.float32).max)

_TOKEN = re.compile(
    r"""'([^'\\]*(?:\\.[^'\\]*)*)'|"([^"\\]*(?:\\.[^"\\]*)*)"|\b(True|False|None)\b|(['"])""",
    re.S,
)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))", re.S
)
_WORDS = {"True": "true", "False": "false", "None": "null"}
_SIGNS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\n": ""}


class Amazon(RatingFile):
    """Reviews of products: who reviewed what, how many stars, when.

    McAuley and others, "Image-based Recommendations on Styles and Substitutes" (2015); no licence
    is stated. Each line is a review, of which ``reviewerID``, ``asin``, ``overall`` and
    ``unixReviewTime`` are read, or in the release of 2023 ``user_id``, ``parent_asin``,
    ``rating`` and ``timestamp``. Lines are JSON, or as older releases have them, dictionaries in
    Python's notation; both are parsed, never evaluated.

    Parameters
    ----------
    path
        The file, plain or gzip, such as ``reviews_Musical_Instruments_5.json.gz``.
    titles
        The file that says what each product is called, by its ``asin`` (or ``parent_asin``) and
        ``title``, plain or gzip, such as ``meta_Musical_Instruments.json.gz``; null leaves
        products without titles.
    """

    def __init__(
        self, *, path: Optional[Path] = None, titles: Optional[Path] = None, **options: Any
    ) -> None:
        super().__init__(**options)
        if path is None:
            raise ConfigError(
                "dataset.path is missing: recsys.amazon is read from a file",
                f"Get one from {HOME} and set dataset.path to it.",
            )
        self.path = Path(path).expanduser()
        self.title_path = None if titles is None else Path(titles).expanduser()

    def read(self) -> Source:
        return self.read_from(self.path, self._columns)

    def _columns(self, stream: BinaryIO, broken: Broken) -> Columns:
        lines = numbered_lines(stream, broken, self.encoding)
        return gather(lines, reviews, broken, self.limit, WANTED)

    def read_titles(self) -> Mapping[str, str]:
        if self.title_path is None:
            return {}
        known, found = set(self.items), {}
        broken = Broken(str(self.title_path), self.skip)
        with opened(self.title_path) as stream:
            for numbers, lines in numbered_lines(stream, broken, self.encoding):
                for entry in _each(numbers, lines, broken, parsed):
                    item = str(entry.get("parent_asin") or entry.get("asin"))
                    title = entry.get("title")
                    if item in known and isinstance(title, str) and _is_text(title):
                        found[item] = " ".join(title.split())
        return found


def reviews(numbers: Sequence[int], lines: List[str], broken: Broken) -> Parsed:
    """Columns of some lines, each a review."""
    found = list(_each(numbers, lines, broken, review))
    users, items, values, times = zip(*found) if found else ((), (), (), ())
    return Parsed(users, items, np.array(values, float), np.array(times, float))


def _each(
    numbers: Sequence[int], lines: List[str], broken: Broken, parse: Callable[[str], Any]
) -> Any:
    for number, line in zip(numbers, lines):
        try:
            yield parse(line)
        except BadLine as error:
            broken.add(number, str(error))


def review(line: str) -> tuple[str, str, float, float]:
    """User, item, rating and time of a review; the time is nan where there is none.

    Raises
    ------
    BadLine
        The line is no review.
    """
    entry = parsed(line)
    if "reviewerID" in entry or "overall" in entry:
        user, item = _name(entry, "reviewerID"), _name(entry, "asin")
        return user, item, _stars(entry, "overall"), _time(entry, "unixReviewTime", 1)
    user = _name(entry, "user_id")
    item = _name(entry, "parent_asin" if entry.get("parent_asin") else "asin")
    return user, item, _stars(entry, "rating"), _time(entry, "timestamp", 1000)


def parsed(line: str) -> Mapping[str, Any]:
    """The entries of a line that is a JSON object or a dictionary in Python's notation.

    Raises
    ------
    BadLine
        It is neither.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        try:
            found = json.loads(_TOKEN.sub(_as_json, line))
        except (ValueError, OverflowError, RecursionError):
            raise BadLine(f"is no review in JSON: {quoted(line.strip())}") from None
    if not isinstance(found, dict):
        raise BadLine(f"is no review in JSON: {quoted(line.strip())}")
    return found


def _as_json(token: re.Match) -> str:
    """A string or a word of Python as JSON has it."""
    single, double, word, stray = token.groups()
    if stray:
        raise BadLine("a quotation mark is not closed")
    if word:
        return _WORDS[word]
    text = double if single is None else single
    return json.dumps(_ESCAPE.sub(_sign, text) if "\\" in text else text)


def _sign(escape: re.Match) -> str:
    """The sign that Python means by an escape."""
    *codes, octal, letter = escape.groups()
    code = next(filter(None, codes), None)
    if code or octal:
        return chr(int(code, 16) if code else int(octal, 8))
    return _SIGNS.get(letter, letter if letter in "\\'\"" else f"\\{letter}")


def _name(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise BadLine(f"has no {key}" if value in (None, "") else f"{key} is {quoted(value)}")
    if not _is_text(value):
        raise BadLine(f"{key} is {quoted(value)}, which is no text")
    return str(value).strip()


def _is_text(value: Any) -> bool:
    """Whether it can be written in UTF-8; half of a surrogate pair, which JSON allows, cannot."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _stars(entry: Mapping[str, Any], key: str) -> float:
    value = _number(entry.get(key))
    if abs(value) <= LARGEST:
        return value
    if entry.get(key) is None:
        raise BadLine(f"has no {key}")
    raise BadLine(f"{key} is {quoted(entry[key])}, not a finite number")


def _time(entry: Mapping[str, Any], key: str, units: int) -> float:
    if entry.get(key) is None:
        return math.nan
    value = _number(entry[key]) / units
    if not math.isfinite(value):
        raise BadLine(f"{key} is {quoted(entry[key])}, not a time")
    return value


def _number(value: Any) -> float:
    """A number, or text that is one; otherwise nan."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    try:
        return math.nan if "_" in str(value) else float(value)
    except (ValueError, OverflowError):
        return math.nan
