"""What a model gets of a table: numbers scaled, words as columns of 0 and 1, by training rows.

Holds what is learned from rows and applied to others, and its form as JSON; no files.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from dope.plugins.tabular.columns import CATEGORICAL, DATE, NUMERIC, values
from dope.plugins.tabular.table import Table


@dataclass(frozen=True)
class Scaling:
    """How numbers are encoded.

    Parameters
    ----------
    log_skew
        Numbers that are never negative and whose skewness is above this are taken as log(1 + x);
        None takes no logarithm.
    clip
        Standard deviations beyond which a scaled number is cut off; None does not cut.
    rare
        A word that fewer training rows than this have is taken as one with all other rare words.
    most_words
        Words of a column that get a column of their own, the most frequent ones.
    ranks
        Ordered words, each ``Po<Fa<TA<Gd<Ex``: a column all of whose words are among them is also
        given as a number, from 1; 0 stands for a missing one.
    """

    log_skew: Optional[float] = None
    clip: Optional[float] = None
    rare: int = 1
    most_words: int = 100
    ranks: Sequence[str] = ()


@dataclass(frozen=True)
class Scale:
    """One column of numbers, scaled: learned from training rows.

    Parameters
    ----------
    mean, sd
        Of the values that are there, after the logarithm.
    log
        Whether log(1 + x) is taken first.
    clip
        As in `Scaling`.
    missing
        Training rows without a value; if there are any, an indicator is a column of its own.
    cut
        Training rows that the clip changes.
    """

    mean: float
    sd: float
    log: bool = False
    clip: Optional[float] = None
    missing: int = 0
    cut: int = 0

    @classmethod
    def learn(cls, x: np.ndarray, how: Scaling) -> Scale:
        """From the values (n,) of training rows, NaN where missing."""
        known = x[~np.isnan(x)]
        if not len(known):
            return cls(0.0, 1.0, missing=len(x))
        log = how.log_skew is not None and known.min() >= 0 and _skewness(known) > how.log_skew
        y = np.log1p(known) if log else known
        mean, sd = float(y.mean()), float(y.std())
        sd = sd if sd > 1e-9 * max(1.0, abs(mean)) else 1.0
        cut = 0 if how.clip is None else int((np.abs(y - mean) > how.clip * sd).sum())
        return cls(mean, sd, bool(log), how.clip, len(x) - len(known), cut)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Values scaled, (n,); a missing one becomes the mean, which is 0."""
        y = np.log1p(np.maximum(x, 0)) if self.log else x
        y = np.nan_to_num((y - self.mean) / self.sd, nan=0.0)
        return y if self.clip is None else np.clip(y, -self.clip, self.clip)


@dataclass(frozen=True)
class Words:
    """One column of words: learned from training rows.

    Parameters
    ----------
    words
        Those with a column of their own; the empty one stands for a missing cell.
    other
        Whether rare words share one more column.
    rare
        Words of training rows without a column of their own.
    rank, scale
        Place of each word in its order, and how that is scaled, where there is an order.
    """

    words: Sequence[str]
    other: bool = False
    rare: Sequence[str] = ()
    rank: Optional[Mapping[str, float]] = None
    scale: Optional[Scale] = None

    @classmethod
    def learn(cls, cells: Sequence[str], how: Scaling) -> Words:
        """From the cells of training rows, the missing ones empty."""
        counts = Counter(cells)
        frequent = sorted(counts, key=lambda word: (-counts[word], word))[: how.most_words]
        words = sorted(word for word in frequent if counts[word] >= how.rare)
        other = len(words) < len(counts) or how.rare > 1
        rank = next(
            (r for r in map(_order, how.ranks) if len(counts) > 1 and {*counts} <= {*r}), None
        )
        rare = sorted({*counts} - {*words})
        if rank is None:
            return cls(words, other, rare)
        scale = Scale.learn(np.array([rank[cell] for cell in cells]), Scaling(clip=how.clip))
        return cls(words, other, rare, rank, scale)

    @property
    def width(self) -> int:
        """Columns of 0 and 1."""
        return len(self.words) + self.other

    @property
    def seen(self) -> frozenset:
        """All words of training rows."""
        return frozenset([*self.words, *self.rare])

    def codes(self, cells: Sequence[str]) -> np.ndarray:
        """Place of each word, int (n,): the last one for a rare or an unseen word."""
        places = {word: place for place, word in enumerate(self.words)}
        return np.array([places.get(cell, len(self.words)) for cell in cells], dtype=np.int64)


def _order(text: str) -> dict[str, float]:
    words = [word.strip() for word in text.split("<")]
    return {"": 0.0, **{word: float(place) for place, word in enumerate(words, 1)}}


def _skewness(x: np.ndarray) -> float:
    sd = x.std()
    return 0.0 if sd == 0 else float((((x - x.mean()) / sd) ** 3).mean())


@dataclass(frozen=True)
class Encoded:
    """Rows as a model gets them.

    Parameters
    ----------
    numbers
        Scaled numbers and indicators, float32 (n, D).
    words
        Columns of 0 and 1, float32 (n, V).
    codes
        Of each column of words the place of its word among all V + C places (the last place of
        a column is for what is unseen), float32 (n, C).
    unseen
        Cells by column whose word no training row had.
    spans
        Of each column of the table, where it is in numbers, words and codes.
    """

    numbers: np.ndarray
    words: np.ndarray
    codes: np.ndarray
    unseen: Mapping[str, int]
    spans: Mapping[str, Sequence[slice]]

    @property
    def together(self) -> np.ndarray:
        """Numbers and words side by side, float32 (n, D + V)."""
        return np.concatenate([self.numbers, self.words], axis=1)

    def fields(self, names: Sequence[str]) -> list[np.ndarray]:
        """``numbers``, ``words``, ``codes`` or ``together``, as they are named."""
        return [getattr(self, name) for name in names]

    def taken(self, rows: np.ndarray) -> Encoded:
        """Some of the rows."""
        numbers, words, codes = self.numbers[rows], self.words[rows], self.codes[rows]
        return Encoded(numbers, words, codes, self.unseen, self.spans)

    def moved(self, name: str, order: np.ndarray) -> Encoded:
        """The rows with what a column of the table gives them in another order."""
        numbers, words, codes = parts = tuple(
            part.copy() for part in (self.numbers, self.words, self.codes)
        )
        for part, span in zip(parts, self.spans[name]):
            part[:, span] = part[order, span]
        return Encoded(numbers, words, codes, self.unseen, self.spans)


class Encoding:
    """What was learned from training rows, column by column, and applies to any rows.

    Parameters
    ----------
    kinds
        Kind of each column that is used: numeric, categorical or date.
    missing
        Cells that say that there is no value.
    columns
        A `Scale` for each column of numbers, `Words` for each of words, and for a date a list:
        the scale of its days, and which of ``month`` and ``weekday`` change.
    """

    def __init__(
        self, kinds: Mapping[str, str], missing: Sequence[str], columns: Mapping[str, Any]
    ) -> None:
        self.kinds, self.missing, self.columns = dict(kinds), tuple(missing), dict(columns)

    @classmethod
    def learn(
        cls,
        table: Table,
        rows: np.ndarray,
        kinds: Mapping[str, str],
        missing: Sequence[str],
        how: Scaling,
    ) -> Encoding:
        """From some rows of a table; no other row is looked at."""
        columns: dict[str, Any] = {}
        none = frozenset(missing)
        for name, kind in kinds.items():
            if kind == CATEGORICAL:
                cells = table[name]
                columns[name] = Words.learn([_word(cells[row], none) for row in rows], how)
                continue
            x = values(table, name, kind, none)[rows]
            columns[name] = Scale.learn(x, how if kind == NUMERIC else Scaling(clip=how.clip))
            if kind == DATE:
                columns[name] = [columns[name], *(p for p in ("month", "weekday") if _varies(x, p))]
        return cls(kinds, missing, columns)

    def __call__(self, table: Table) -> Encoded:
        """All rows of a table that has these columns."""
        numbers: list[np.ndarray] = []
        words: list[np.ndarray] = []
        codes: list[np.ndarray] = []
        unseen: dict[str, int] = {}
        spans: dict[str, tuple[slice, slice, slice]] = {}
        none, start, width = frozenset(self.missing), 0, 0
        for name, learned in self.columns.items():
            begin = len(numbers), width, len(codes)
            if isinstance(learned, Words):
                cells = [_word(cell, none) for cell in table[name]]
                places = learned.codes(cells)
                block = np.zeros((len(cells), len(learned.words) + 1), dtype=np.float32)
                block[np.arange(len(cells)), places] = 1
                words.append(block[:, : learned.width])
                codes.append((start + places).astype(np.float32))
                start, width = start + len(learned.words) + 1, width + learned.width
                if learned.rank is not None and learned.scale is not None:
                    rank = [learned.rank.get(cell, np.nan) for cell in cells]
                    numbers.append(learned.scale(np.array(rank, dtype=float)))
                seen = learned.seen
                new = sum(cell not in seen for cell in cells)
                if new:
                    unseen[name] = new
            else:
                numbers += self._numbers(name, values(table, name, self.kinds[name], none))
            ends = len(numbers), width, len(codes)
            spans[name] = tuple(slice(a, b) for a, b in zip(begin, ends))  # type: ignore[assignment]
        return Encoded(
            _stacked(numbers, len(table)),
            np.concatenate([np.zeros((len(table), 0), np.float32), *words], axis=1),
            _stacked(codes, len(table)),
            unseen,
            spans,
        )

    def _numbers(self, name: str, x: np.ndarray) -> list[np.ndarray]:
        """What becomes of numbers or days x (n,): one column or more, each (n,)."""
        learned = self.columns[name]
        scale, *parts = learned if isinstance(learned, list) else [learned]
        found = [scale(x), *(wave for part in parts for wave in _waves(x, part))]
        return [*found, np.isnan(x).astype(float)] if scale.missing else found

    @property
    def places(self) -> int:
        """Places of all words, with one for the unseen of each column."""
        return sum(len(w.words) + 1 for w in self.columns.values() if isinstance(w, Words))

    def said(self, name: str) -> str:
        """What becomes of a column, in words."""
        learned = self.columns[name]
        if isinstance(learned, Words):
            more = ", the last for rare ones" if learned.other else ""
            order = ", and a rank" if learned.rank is not None else ""
            return f"{learned.width} columns of 0 and 1{more}{order}"
        scale, *parts = learned if isinstance(learned, list) else [learned]
        said = ["days", *parts] if parts or self.kinds[name] == DATE else []
        said += ["log(1 + x)"] if scale.log else []
        said += [f"{scale.missing} missing: mean and indicator"] if scale.missing else []
        said += [f"{scale.cut} cut off at {scale.clip:g} sd"] if scale.cut else []
        return ", ".join(said) or "scaled"

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        columns = {}
        for name, learned in self.columns.items():
            first, *parts = learned if isinstance(learned, list) else [learned]
            columns[name] = {"kind": self.kinds[name], **dataclasses.asdict(first)}
            if parts:
                columns[name]["parts"] = parts
        return {"missing": list(self.missing), "columns": columns}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Encoding:
        """What `to_json` made."""
        kinds: dict[str, str] = {}
        columns: dict[str, Any] = {}
        for name, said in given["columns"].items():
            rest = dict(said)
            kind, parts = rest.pop("kind"), rest.pop("parts", [])
            kinds[name] = kind
            if kind == CATEGORICAL:
                numbers = rest.pop("scale")
                columns[name] = Words(**rest, scale=None if numbers is None else Scale(**numbers))
            else:
                scale = Scale(**rest)
                columns[name] = [scale, *parts] if kind == DATE else scale
        return cls(kinds, given["missing"], columns)


def _word(cell: str, missing: frozenset) -> str:
    return "" if cell in missing else cell


def _stacked(columns: Sequence[np.ndarray], rows: int) -> np.ndarray:
    if not columns:
        return np.zeros((rows, 0), dtype=np.float32)
    return np.stack(columns, axis=1).astype(np.float32)


def _turn(days: np.ndarray, part: str) -> np.ndarray:
    """Where in the year, or in the week, a day is: from 0 to 1, NaN where missing."""
    if part == "weekday":
        return np.floor(days + 3) % 7 / 7  # 1970-01-01 was a Thursday
    known = [
        None if math.isnan(d) else datetime.date(1970, 1, 1) + datetime.timedelta(int(d // 1))
        for d in days
    ]
    return np.array([np.nan if d is None else (d.month - 1) / 12 for d in known], dtype=float)


def _varies(days: np.ndarray, part: str) -> bool:
    turn = _turn(days, part)
    return len(np.unique(turn[~np.isnan(turn)])) > 1


def _waves(days: np.ndarray, part: str) -> list[np.ndarray]:
    """Sine and cosine of the place in a year or a week, 0 where missing."""
    angle = 2 * np.pi * _turn(days, part)
    return [np.nan_to_num(np.sin(angle), nan=0.0), np.nan_to_num(np.cos(angle), nan=0.0)]
