"""What a sweep runs: the grammar of ``key=v1,v2`` and ``key=lo..hi``, and the points they mean.

Knows texts only: whether they can be is asked in configs.py.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Optional, Union

from dope.core.errors import ConfigError

_NUMBER = r"[-+]?(?:\d[\d_]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\.\.({_NUMBER})(?::(\w*))?\s*")
MOST = 10_000  # points of a grid that is run as a whole
WIDE = 100.0  # highest over lowest value from which on a range is drawn logarithmically

Point = dict[str, str]  # key to text, as both stand on a command line


@dataclass(frozen=True)
class Values:
    """A key with the values that were listed; with one of them it is fixed."""

    key: str
    texts: tuple[str, ...]
    log: bool = False

    def at(self, share: float) -> str:
        """The value at this share, from 0 to below 1, of all of them."""
        return self.texts[int(share * len(self.texts))]


@dataclass(frozen=True)
class Range:
    """A key with a lowest and a highest value, both possible.

    Parameters
    ----------
    key
        ``section.option``.
    low, high
        The ends.
    whole
        Whether only integers are meant.
    log
        Whether each factor, and not each difference, is equally likely.
    """

    key: str
    low: float
    high: float
    whole: bool
    log: bool

    def at(self, share: float) -> str:
        """The value at this share, from 0 to below 1, of the range; six digits."""
        low, high = self.low, self.high + self.whole
        value = low * (high / low) ** share if self.log else low + (high - low) * share
        if self.whole:
            return str(min(math.floor(value), int(self.high)))
        return f"{min(max(float(f'{value:.6g}'), self.low), self.high):.6g}"


Axis = Union[Values, Range]


@dataclass(frozen=True)
class Space:
    """All that a sweep may run.

    Parameters
    ----------
    axes
        One for each key, in the order in which they were given.
    """

    axes: tuple[Axis, ...]

    @property
    def varied(self) -> tuple[Axis, ...]:
        """The axes with more than one value."""
        return tuple(a for a in self.axes if isinstance(a, Range) or len(a.texts) > 1)

    @property
    def ranges(self) -> tuple[Range, ...]:
        return tuple(axis for axis in self.axes if isinstance(axis, Range))

    @property
    def size(self) -> Optional[int]:
        """Number of points of the grid; None where a key has a range."""
        lists = [len(axis.texts) for axis in self.axes if isinstance(axis, Values)]
        return None if self.ranges else math.prod(lists)

    def points(self, n: Optional[int] = None, seed: int = 0) -> list[Point]:
        """The points to run: the grid, ``n`` points of it, or ``n`` that are drawn.

        Each point depends on ``seed`` and its place alone: those of a larger ``n`` begin with
        those of a smaller one. Points of a grid are drawn without repetition.

        Raises
        ------
        ConfigError
            There is a range and no ``n``, or the grid is too large to be run as a whole.
        """
        if n is not None and n < 1:
            raise ConfigError(f"--n {n} is no number of points", "It is at least 1.")
        if self.size is None:
            if n is None:
                keys = ", ".join(axis.key for axis in self.ranges)
                raise ConfigError(
                    f"{keys} has a range, and nothing says how many points to draw", "Add --n 20."
                )
            return [
                {a.key: a.at(random.Random(f"{seed}/{a.key}/{i}").random()) for a in self.axes}
                for i in range(n)
            ]
        if n is None and self.size > MOST:
            raise ConfigError(
                f"the grid has {self.size:,} points", "Add --n 100 to run so many of them."
            )
        places = range(self.size) if n is None else _shuffled(self.size, n, seed)
        return [self._of_grid(place) for place in places]

    def _of_grid(self, place: int) -> Point:
        """A point of the grid by its number; the last key changes fastest."""
        point = {}
        for axis in reversed(self.axes):
            assert isinstance(axis, Values)
            place, at = divmod(place, len(axis.texts))
            point[axis.key] = axis.texts[at]
        return {axis.key: point[axis.key] for axis in self.axes}


def _shuffled(size: int, n: int, seed: int) -> list[int]:
    """The first ``n`` numbers below ``size`` of a shuffle that is never written out whole."""
    draw = random.Random(f"{seed}/grid")
    moved: dict[int, int] = {}
    found = []
    for i in range(min(n, size)):
        j = i + int(draw.random() * (size - i))
        found.append(moved.get(j, j))
        moved[j] = moved.get(i, i)
    return found


def read(words: Iterable[str]) -> Space:
    """The space that ``key=v1,v2`` and ``key=lo..hi`` words mean.

    Raises
    ------
    ConfigError
        A word has no ``=``, a key is given twice, a value is empty, or a range is none.
    """
    axes: dict[str, Axis] = {}
    for word in words:
        key, equals, text = word.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(
                f"'{word}' is not of the form key=value",
                "Write section.option=v1,v2 or section.option=lo..hi.",
            )
        if key in axes:
            raise ConfigError(f"{key} is given twice", "Give all its values at once, with commas.")
        axes[key] = _axis(word, key, text)
    return Space(tuple(axes.values()))


def _axis(word: str, key: str, text: str) -> Axis:
    parts = split(text)
    ranges = [match for match in map(_RANGE.fullmatch, parts) if match]
    if not ranges:
        if len(parts) > 1 and "" in parts:
            raise ConfigError(f"{word}: a value is empty", "Write '' for an empty text.")
        return Values(key, tuple(dict.fromkeys(map(_unquoted, parts))))
    if len(parts) > 1:
        raise ConfigError(
            f"{word}: a range stands beside other values", "Give one range, or values alone."
        )
    low, high, scale = ranges[0].groups()
    whole = all(re.fullmatch(r"[-+]?[\d_]+", end) for end in (low, high))
    first, last = float(low), float(high)
    if first > last:
        raise ConfigError(f"{word}: the range is empty", f"Write {key}={high}..{low}.")
    if scale not in (None, "log", "linear"):
        raise ConfigError(f"{word}: '{scale}' is no scale", "Scales are log and linear.")
    if scale == "log" and first <= 0:
        raise ConfigError(
            f"{word}: a logarithmic range begins above 0", f"Try {key}=1e-6..{high}:log."
        )
    log = scale == "log" or (scale is None and first > 0 and last / first >= WIDE)
    return Range(key, first, last, whole, log)


def split(text: str) -> list[str]:
    """The values between the commas that stand outside of brackets and quotes.

    Examples
    --------
    >>> split("[16],[32, 16]")
    ['[16]', '[32, 16]']
    """
    parts, depth, quote, before = [""], 0, "", ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"" and before in ("", *"[{(,:"):  # within a word it is an apostrophe
            quote = sign
        else:
            depth += (sign in "[{(") - (sign in "]})" and depth > 0)
            if sign == "," and not depth:
                parts.append("")
                before = ""
                continue
        parts[-1] += sign
        before = before if sign.isspace() else sign
    return [part.strip() for part in parts]


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted and text[0] not in text[1:-1] else text


def words(point: Mapping[str, str]) -> list[str]:
    """A point as ``key=value`` texts, which ``dope run`` takes."""
    return [f"{key}={text}" for key, text in point.items()]
