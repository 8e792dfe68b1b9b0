"""Stamps of regular series: the frequency, the stamps that follow, and stamps read from text.

Holds calendar arithmetic and the parsing of date columns; reads no file and knows no values.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, List, Optional, Tuple

import numpy as np

from dope.core.errors import ConfigError, did_you_mean

_MONTHS = {"year": 12, "quarter": 3, "month": 1}
_SECONDS = {"week": 604800, "day": 86400, "hour": 3600, "minute": 60, "second": 1}
UNITS = (*_MONTHS, "week", "business day", "day", "hour", "minute", "second", "step")
_ADVERBS = {
    "yearly": "year",
    "annual": "year",
    "quarterly": "quarter",
    "monthly": "month",
    "weekly": "week",
    "daily": "day",
    "hourly": "hour",
    "min": "minute",
    "sec": "second",
}


def _months_of(stamps: np.ndarray) -> np.ndarray:
    return stamps.astype("M8[M]").astype(np.int64)


def _days_in(months: np.ndarray) -> np.ndarray:
    """Number of days in each month of a datetime64[M] array."""
    return ((months + 1).astype("M8[D]") - months.astype("M8[D]")).astype(np.int64)


def _has_days(stamps: np.ndarray) -> bool:
    """Whether the stamps are dates or times, not bare months, quarters or years."""
    return stamps.dtype.kind == "M" and np.datetime_data(stamps.dtype)[0] not in ("Y", "M")


def _day_of_month(stamps: np.ndarray) -> Tuple[int, np.ndarray]:
    """The day on which monthly stamps fall (31: the month's last) and which of them do."""
    months = stamps.astype("M8[M]")
    days = (stamps.astype("M8[D]") - months.astype("M8[D]")).astype(np.int64) + 1
    last = _days_in(months)
    anchor = 31 if np.all(days == last) else int(days.max())
    if np.any(days != np.minimum(anchor, last)):  # then most days are right, not the greatest
        anchor = int(np.argmax(np.bincount(days)))
    return anchor, days == np.minimum(anchor, last)


def _most_common(steps: Sequence[np.ndarray]) -> int:
    values, counts = np.unique(np.concatenate(list(steps)), return_counts=True)
    return int(values[np.argmax(counts)]) if len(values) else 1


@dataclass(frozen=True)
class Frequency:
    """The step between two neighbours of a regular series: a unit of the calendar, times n.

    Years, quarters and months follow the calendar: a series on month ends stays on month ends,
    one on the 30th meets the last of February. Business days are Monday to Friday.

    Parameters
    ----------
    unit
        One of year, quarter, month, week, business day, day, hour, minute, second, and step for
        series whose stamps are plain integers.
    multiple
        How many units one step spans; default 1.
    """

    unit: str = "step"
    multiple: int = 1

    def __str__(self) -> str:
        return self.unit if self.multiple == 1 else f"{self.multiple} {self.unit}s"

    @classmethod
    def parse(cls, text: str) -> Frequency:
        """The frequency that ``text`` names: ``month``, ``weekly``, ``15 minutes``.

        Raises
        ------
        ConfigError
            ``text`` names none.
        """
        match = re.fullmatch(r"\s*(\d*)\s*([a-z ]+?)\s*", text.lower())
        word = match.group(2) if match else text
        unit = _ADVERBS.get(word, word)
        unit = unit if unit in UNITS else _ADVERBS.get(unit.rstrip("s"), unit.rstrip("s"))
        multiple = int(match.group(1) or 1) if match else 0
        if unit not in UNITS or multiple < 1 or (unit == "business day" and multiple > 1):
            near = did_you_mean(word, [*UNITS, *_ADVERBS])
            raise ConfigError(
                f"'{text}' is not a frequency",
                f"{near} Write one of {', '.join(UNITS)}, with a number before it if it is not "
                "one: month, 15 minutes".strip(),
            )
        return cls(unit, multiple)

    @classmethod
    def infer(cls, runs: Sequence[np.ndarray]) -> Frequency:
        """The most common step in series of sorted, distinct stamps.

        Dates that keep one day of the month (or its end) and lie a month or more apart count in
        months; other dates in seconds. Daily stamps over two weeks or more that never fall on a
        weekend are business days. Whether all the stamps fit is for `positions` to say.
        """
        if runs[0].dtype.kind == "i":
            return cls("step", _most_common([np.diff(run) for run in runs]))
        steps = [np.diff(run).astype("m8[s]") for run in runs if _has_days(run)]
        by_month = not steps or (
            all(_day_of_month(run)[1].all() for run in runs)
            and min(step.min() for step in steps if len(step)) >= np.timedelta64(28, "D")
        )
        if by_month:
            months = _most_common([np.diff(_months_of(run)) for run in runs])
            unit = next(unit for unit, size in _MONTHS.items() if months % size == 0)
            return cls(unit, months // _MONTHS[unit])
        seconds = _most_common([step.astype(np.int64) for step in steps])
        months = round(seconds / _SECONDS["day"] / 30.44)
        if months and any((step.astype(np.int64) % seconds).any() for step in steps):
            return cls.infer([run.astype("M8[M]") for run in runs])  # meant as months, but uneven
        unit = next(unit for unit, size in _SECONDS.items() if seconds % size == 0)
        if unit == "day" and seconds == _SECONDS["day"]:
            span = max((run[-1] - run[0]).astype("m8[D]").astype(int) for run in runs)
            working = all(np.is_busday(run.astype("M8[D]")).all() for run in runs)
            return cls("business day") if working and span >= 14 else cls("day")
        return cls(unit, seconds // _SECONDS[unit])

    @property
    def season(self) -> int:
        """Steps in the season that such series usually have; 1 means none.

        A year of quarters, months or weeks, a week of days, a day of hours or minutes, an hour
        of single minutes, a minute of seconds.
        """
        cycle = {"quarter": 4, "month": 12, "week": 52, "business day": 5, "hour": 24}
        cycle["minute"] = 1440 if self.multiple >= 5 else 60
        cycle["second"] = 60
        if self.unit == "day":
            return 7 if self.multiple == 1 else 1
        whole, rest = divmod(cycle.get(self.unit, 1), self.multiple)
        return max(1, whole) if rest == 0 else 1

    def fits_kind(self, stamps: np.ndarray) -> bool:
        """Whether stamps of this kind can have the frequency at all: integers only steps, bare
        months and years no days."""
        if stamps.dtype.kind == "i" or self.unit == "step":
            return stamps.dtype.kind == "i" and self.unit == "step"
        if self.unit in _MONTHS:
            stamp_unit, size = np.datetime_data(stamps.dtype)
            coarse = {"Y": 12, "M": size}.get(stamp_unit, 1)
            return self._months % coarse == 0
        return _has_days(stamps)

    @property
    def _months(self) -> int:
        return _MONTHS[self.unit] * self.multiple

    def positions(self, stamps: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Steps of each stamp from the first, and which stamps lie on the frequency's grid.

        Parameters
        ----------
        stamps
            (T,) sorted stamps, datetime64 or integers.

        Returns
        -------
        steps, fits
            (T,) int64 and (T,) bool; a step is meaningful where ``fits``.
        """
        fits = np.ones(len(stamps), dtype=bool)
        size = self.multiple
        if self.unit == "step":
            passed = stamps - stamps[0]
        elif self.unit == "business day":
            days = stamps.astype("M8[D]")
            passed = np.busday_count(days[0], days).astype(np.int64)
            fits = np.is_busday(days) & (stamps - days == stamps[0] - days[0])
        elif self.unit in _MONTHS:
            passed = _months_of(stamps) - _months_of(stamps[:1])
            size = self._months
            if _has_days(stamps):
                hours = stamps - stamps.astype("M8[D]")
                fits = _day_of_month(stamps)[1] & (hours == hours[0])
        else:
            passed = (stamps - stamps[0]).astype("m8[s]").astype(np.int64)
            size = _SECONDS[self.unit] * self.multiple
        return passed // size, fits & (passed % size == 0)

    def grid(self, stamps: np.ndarray, steps: np.ndarray, origin: int = 0) -> np.ndarray:
        """The stamps ``steps`` steps after ``stamps[origin]``.

        Parameters
        ----------
        stamps
            (T,) stamps of one series; together they tell the day of the month.
        steps
            (K,) whole numbers.
        origin
            Which stamp to count from; default the first.
        """
        start = stamps[origin]
        if self.unit == "step":
            return start + steps * self.multiple
        if self.unit == "business day":
            day = start.astype("M8[D]")
            return (np.busday_offset(day, steps) + (start - day)).astype(stamps.dtype)
        if self.unit not in _MONTHS:
            seconds = steps * (_SECONDS[self.unit] * self.multiple)
            return (start + seconds.astype("m8[s]")).astype(stamps.dtype)
        months = start.astype("M8[M]") + steps * self._months
        if not _has_days(stamps):
            return months.astype(stamps.dtype)
        day = np.minimum(_day_of_month(stamps)[0], _days_in(months))
        time = start - start.astype("M8[D]")
        return (months.astype("M8[D]") + (day - 1) + time).astype(stamps.dtype)

    def following(self, stamps: np.ndarray, horizon: int) -> np.ndarray:
        """The ``horizon`` stamps after the last of ``stamps``: shape (horizon,)."""
        return self.grid(stamps, np.arange(1, horizon + 1), origin=-1)


def stamp_text(stamps: np.ndarray) -> List[str]:
    """Stamps as files hold them: 7, 1871, 1960-12, 2020Q1, 2020-01-31, 2020-01-31 13:00:00."""
    if stamps.dtype.kind == "M" and np.datetime_data(stamps.dtype) == ("M", 3):
        months = _months_of(stamps)
        return [f"{1970 + m // 12}Q{m % 12 // 3 + 1}" for m in months.tolist()]
    return [str(stamp).replace("T", " ") for stamp in stamps]


# Text to stamps. Groups: y year, m month, n month's name, d day, q quarter, w ISO week, k its
# weekday, a and b day and month in an order that the whole column decides, s a plain step.
_Y, _N = r"(?P<y>\d{4})", r"(?P<n>[A-Za-z]{3,9})\.?"
_CENTURY = r"(?P<y>(?:1[5-9]|2[01])\d\d)"
_TIME = (
    r"(?:(?:T|\s+)(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d+))?)?"
    r"(?:\s*(?P<p>[AaPp][Mm]))?\s*(?P<z>Z|[+-]\d\d:?\d\d)?)?"
)
_MM, _DD = r"(?P<m>0[1-9]|1[0-2])", r"(?P<d>0[1-9]|[12]\d|3[01])"
_INTEGERS = {
    "year": re.compile(_CENTURY),
    "compact month": re.compile(_CENTURY + _MM),
    "compact date": re.compile(_CENTURY + _MM + _DD),
    "step": re.compile(r"(?P<s>[+-]?\d{1,18})"),
}
_DATES = {
    "date": re.compile(_Y + r"(?P<sep>[-/.])(?P<m>\d{1,2})(?P=sep)(?P<d>\d{1,2})" + _TIME),
    "day and month": re.compile(r"(?P<a>\d{1,2})(?P<sep>[-/.])(?P<b>\d{1,2})(?P=sep)" + _Y + _TIME),
    "month": re.compile(_Y + r"(?:[-/ ]?M|[-/])(?P<m>\d{1,2})"),
    "month, year": re.compile(r"(?P<m>\d{1,2})[-/]" + _Y),
    "quarter": re.compile(_Y + r"[-/ ]?[Qq](?P<q>[1-4])"),
    "quarter, year": re.compile(r"[Qq](?P<q>[1-4])[-/ ]?" + _Y),
    "week": re.compile(_Y + r"-?W(?P<w>\d\d)(?:-?(?P<k>[1-7]))?"),
    "named month": re.compile(_N + r"[-/ ]\s*" + _Y),
    "year, named month": re.compile(_Y + r"[-/ ]" + _N),
    "named date": re.compile(r"(?P<d>\d{1,2})[-/ ]" + _N + r"[-/, ]\s*" + _Y + _TIME),
    "American date": re.compile(_N + r"\s(?P<d>\d{1,2}),?\s" + _Y + _TIME),
}
_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def quoted(cell: str) -> str:
    """A cell for a message: in quotation marks, cut when it is long."""
    return f"'{cell}'" if len(cell) <= 40 else f"'{cell[:40]}…'"


class UnreadableStamp(ValueError):
    """A cell of a date column that is no stamp of the column's form.

    Parameters
    ----------
    row
        Which cell, counted from 0.
    reason, hint
        What is wrong with it, and what to do.
    """

    def __init__(self, row: int, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.row, self.reason, self.hint = row, reason, hint


def stamp_form(cells: Sequence[str], whole: bool = False) -> Optional[str]:
    """The form that most cells of a column have (``date``, ``month``, ``year``, ``step`` …).

    Parameters
    ----------
    cells
        The column, stripped.
    whole
        Whether to try forms of plain integers too (years, 202001, 20200131, steps).

    Returns
    -------
    str or None
        None when no form fits more than half of the cells.
    """
    sample = cells[:50]
    best, most = None, len(sample) / 2
    for form, pattern in _DATES.items():
        count = sum(pattern.fullmatch(cell) is not None for cell in sample)
        if count > most:
            best, most = form, count
    if best is None and whole:
        most = len(cells) / 2
        for form, pattern in _INTEGERS.items():
            count = sum(pattern.fullmatch(cell) is not None for cell in cells)
            if count > most:
                best, most = form, count
    return best


def parse_stamps(cells: Sequence[str], form: str, day_first: Optional[bool] = None) -> np.ndarray:
    """The stamps of a column whose form is known.

    Parameters
    ----------
    cells
        The column, stripped.
    form
        As `stamp_form` names it.
    day_first
        Whether 03/04/2020 is the 3rd of April; None reads it from the column.

    Returns
    -------
    numpy.ndarray
        (rows,) int64 for steps; datetime64 in years, months, [3M] for quarters, days, or
        seconds when any stamp has a time of day. One UTC offset throughout is dropped (local
        time stays), differing ones are turned into UTC.

    Raises
    ------
    UnreadableStamp
        A cell has another form, is no date of the calendar, or has a part of a second; or the
        column does not tell days from months.
    """
    pattern = _DATES.get(form) or _INTEGERS[form]
    found: List[Any] = []
    for row, cell in enumerate(cells):
        match = pattern.fullmatch(cell)
        if match is None:
            raise UnreadableStamp(row, f"{quoted(cell)} is not a stamp like the others (a {form})")
        found.append(match.groupdict())
    if form == "step":
        return np.array([int(parts["s"]) for parts in found], dtype=np.int64)
    if form == "year":
        return np.array([int(parts["y"]) - 1970 for parts in found], dtype="M8[Y]")
    if form == "day and month":
        _order_days(cells, found, day_first)
    stamps, offsets = [], []
    for row, parts in enumerate(found):
        try:
            stamps.append(_moment(parts))
        except ValueError as error:
            hint = "Stamps go down to whole seconds" if "part of" in str(error) else ""
            raise UnreadableStamp(
                row, f"{quoted(cells[row])} is no stamp of the calendar ({error})", hint
            ) from None
        offsets.append(_offset(parts.get("z")))
    if len(set(offsets)) > 1:
        stamps = [stamp - offset for stamp, offset in zip(stamps, offsets)]
    if "q" in found[0]:
        return np.array(stamps, dtype="M8[s]").astype("M8[M]").astype("M8[3M]")
    if "d" not in found[0] and "k" not in found[0] and "a" not in found[0]:
        return np.array(stamps, dtype="M8[s]").astype("M8[M]")
    seconds = np.array(stamps, dtype="M8[s]")
    days = seconds.astype("M8[D]")
    return days if np.all(seconds == days) else seconds


def _order_days(cells: Sequence[str], found: List[Any], day_first: Optional[bool]) -> None:
    """Turn groups a and b into day and month, in the one order that the column allows."""
    if day_first is None and all(parts["sep"] == "." for parts in found):
        day_first = True  # 31.01.2020: dots are written day first wherever they are written
    if day_first is None:
        first = any(int(parts["a"]) > 12 for parts in found)
        second = any(int(parts["b"]) > 12 for parts in found)
        if not first and not second:
            raise UnreadableStamp(
                0,
                f"{quoted(cells[0])} may be day/month or month/day, and no other row tells which",
                "Give dataset.day_first=true or false, or write dates as 2020-01-31",
            )
        day_first = first
    for row, parts in enumerate(found):
        day, month = ("a", "b") if day_first else ("b", "a")
        parts["d"], parts["m"] = parts[day], parts[month]
        if int(parts["m"]) > 12:
            order = "day/month" if day_first else "month/day"
            raise UnreadableStamp(
                row,
                f"{quoted(cells[row])} has month {parts['m']} when read as {order} like the others",
                "Give dataset.day_first=true or false, or write dates as 2020-01-31",
            )


def _moment(parts: Any) -> dt.datetime:
    """The moment that a match names; ValueError when there is none."""
    if parts.get("f") and int(parts["f"]):
        raise ValueError("part of a second")
    year, month, day = int(parts["y"]), int(parts.get("m") or 1), int(parts.get("d") or 1)
    if parts.get("n"):
        name = parts["n"].lower()[:3]
        if name not in _NAMES:
            raise ValueError(f"no month is called {parts['n']}")
        month = _NAMES.index(name) + 1
    if parts.get("q"):
        month = 3 * int(parts["q"]) - 2
    if parts.get("w"):
        date = dt.date.fromisocalendar(year, int(parts["w"]), int(parts["k"] or 1))
        return dt.datetime(date.year, date.month, date.day)
    hour = int(parts.get("H") or 0)
    if parts.get("p"):
        if not 1 <= hour <= 12:
            raise ValueError("hour must be in 1..12 before AM or PM")
        hour = hour % 12 + (12 if parts["p"].lower() == "pm" else 0)
    return dt.datetime(year, month, day, hour, int(parts.get("M") or 0), int(parts.get("S") or 0))


def _offset(zone: Optional[str]) -> dt.timedelta:
    if zone is None or zone == "Z":
        return dt.timedelta(0)
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return dt.timedelta(minutes=minutes if zone[0] == "+" else -minutes)
