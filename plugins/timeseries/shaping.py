"""Sets of regular series: alignment, gaps, season, held-out end, the stamps that follow.

Holds the shape of the data and how columns that were read take it; knows neither files nor
simulation (reading.py, series.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, List, Optional, Tuple

import numpy as np

from dope.core.errors import DataError
from dope.plugins.timeseries.reading import Columns
from dope.plugins.timeseries.stamps import Frequency, stamp_text

LEAST = 3  # observed values below which a series is refused


@dataclass(frozen=True)
class SeriesSet:
    """N series of one frequency, each from its first to its last observation, left-aligned.

    Parameters
    ----------
    values
        (N, T) float64. Row i holds series i in its first ``length[i]`` places; NaN marks missing
        values inside a series and the places after its end.
    names
        N names.
    stamps
        N arrays, (length[i],) each, datetime64 or int64: regular, with no gaps left out.
    frequency
        The step between two stamps.
    season
        Steps in a season; 1 for none.
    holdout
        Values at the end of each series that are kept for measuring forecasts; default 0.
    source
        Where the numbers come from: a file, or what made them.
    notes
        What was decided about the data that the user may want to know, one sentence each.
    unit
        Of the values, for the axes of pictures; empty where nobody knows.
    """

    values: np.ndarray
    names: List[str]
    stamps: List[np.ndarray]
    frequency: Frequency
    season: int = 1
    holdout: int = 0
    source: str = ""
    notes: Tuple[str, ...] = ()
    unit: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def axis(self, i: int) -> str:
        """Name of series ``i`` for an axis, with the unit where it is known."""
        return f"{self.names[i]}, {self.unit}" if self.unit else self.names[i]

    @property
    def length(self) -> np.ndarray:
        """(N,) number of places of each series, missing values included."""
        return np.array([len(stamps) for stamps in self.stamps], dtype=np.int64)

    def future_stamps(self, i: int, horizon: int) -> np.ndarray:
        """The ``horizon`` stamps that follow the last one of series ``i``; shape (horizon,)."""
        return self.frequency.following(self.stamps[i], horizon)

    def split(self, holdout: Optional[int] = None) -> Tuple[SeriesSet, np.ndarray]:
        """Take the last ``holdout`` values off each series.

        Parameters
        ----------
        holdout
            How many; default ``self.holdout``.

        Returns
        -------
        training, held_out
            The shortened set, with ``holdout`` 0, and what was taken off, (N, holdout), NaN
            where missing. ``training.future_stamps(i, holdout)`` are the stamps of
            ``held_out[i]``. A training series may end in a missing value.

        Raises
        ------
        DataError
            A series would keep fewer than two observed values.
        """
        holdout = self.holdout if holdout is None else holdout
        keep = self.length - holdout
        inside = np.arange(self.values.shape[1]) < keep[:, None]
        left = np.sum(inside & ~np.isnan(self.values), axis=1)
        if left.min() < 2:
            i = int(np.argmin(left))
            raise DataError(
                f"{holdout} held-out values leave series '{self.names[i]}' of {self.source}, "
                f"{self.length[i]} long, {_count(int(left[i]), 'value')} to learn from",
                f"Set dataset.holdout to {max(0, int(self.length.min()) - 2)} or less",
            )
        held = self.values[np.arange(len(self))[:, None], keep[:, None] + np.arange(holdout)]
        training = replace(
            self,
            values=np.where(inside, self.values, np.nan)[:, : keep.max()],
            stamps=[stamps[:end] for stamps, end in zip(self.stamps, keep)],
            holdout=0,
        )
        return training, held

    def describe(self) -> str:
        """One line: how many series, how long, from when to when, season, missing, held out."""
        first = min(stamps[0] for stamps in self.stamps)
        last = max(stamps[-1] for stamps in self.stamps)
        begin, end = stamp_text(np.array([first, last]))
        low, high = int(self.length.min()), int(self.length.max())
        missing = int(self.length.sum() - np.sum(~np.isnan(self.values)))
        return (
            f"{self.source}: {len(self)} series of {low if low == high else f'{low} to {high}'} "
            f"values, {begin} to {end}, frequency {self.frequency}, season {self.season}, "
            f"{missing} missing, {self.holdout} held out"
        )


def _count(number: int, thing: str) -> str:
    words = {0: "no", 1: "one", 2: "two"}
    return f"{words.get(number, number)} {thing}{'' if number == 1 else 's'}"


def shape(columns: Columns, given: Optional[Frequency], file: str) -> SeriesSet:
    """Group the rows by series, sort them, find the frequency and fill the gaps with NaN."""
    groups = _groups(columns)
    for name, rows in groups.items():
        who = file if name is None else f"series '{name}' of {file}"
        if len(rows) < LEAST:
            raise DataError(
                f"{who} has only {_count(len(rows), 'row')} of data",
                f"A series needs at least {LEAST}; a forecast worth having needs many more",
            )
        _refuse_duplicates(columns.stamps[rows], columns.lines[rows], who, name is None)
    runs = [columns.stamps[rows] for rows in groups.values()]
    frequency = given or Frequency.infer(runs)
    names, pieces, stamps = [], [], []
    for name, rows in groups.items():
        who = file if name is None else f"series '{name}' of {file}"
        at, steps = _place(columns.stamps[rows], columns.lines[rows], frequency, given, who)
        grid = np.full((steps[-1] + 1, len(columns.names)), np.nan)
        grid[steps] = columns.values[rows]
        calendar = frequency.grid(at, np.arange(len(grid)))
        for j, column in enumerate(columns.names):
            title = column if name is None else name
            if name is not None and len(columns.names) > 1:
                title = f"{name}.{column}"
            seen = np.flatnonzero(~np.isnan(grid[:, j]))
            if len(seen) < LEAST:
                raise DataError(
                    f"series '{title}' of {file} has only {_count(len(seen), 'value')} that "
                    f"{'is' if len(seen) == 1 else 'are'} not missing",
                    f"A series needs at least {LEAST}; leave it out by naming others in "
                    "dataset.value, or delete its rows",
                )
            names.append(title)
            pieces.append(grid[seen[0] : seen[-1] + 1, j])
            stamps.append(calendar[seen[0] : seen[-1] + 1])
    values = np.full((len(pieces), max(map(len, pieces))), np.nan)
    for row, piece in zip(values, pieces):
        row[: len(piece)] = piece
    return SeriesSet(values, names, stamps, frequency, source=file)


def _groups(columns: Columns) -> dict[Optional[str], np.ndarray]:
    """Row numbers of each series in the order of their stamps; one group, None, in a wide file."""
    order = np.argsort(columns.stamps, kind="stable")
    if columns.labels is None:
        return {None: order}
    groups: dict[Any, List[int]] = {label: [] for label in columns.labels}
    for row in order.tolist():
        groups[columns.labels[row]].append(row)
    return {label: np.array(rows) for label, rows in groups.items()}


def _refuse_duplicates(stamps: np.ndarray, lines: np.ndarray, who: str, wide: bool) -> None:
    repeats = np.flatnonzero(stamps[1:] == stamps[:-1])
    if len(repeats) == 0:
        return
    stamp = stamps[repeats[:1]]
    where = [str(line) for line in sorted(lines[stamps == stamp].tolist())]
    some = " and ".join(where) if len(where) == 2 else ", ".join(where[:3])
    raise DataError(
        f"{who} has the stamp {stamp_text(stamp)[0]} more than once, on lines {some}"
        + (" …" if len(where) > 3 else ""),
        "If the file holds several series, name the column that tells them apart: "
        "dataset.series=COLUMN; else keep one row a stamp"
        if wide
        else "Keep one row a stamp and series",
    )


def _place(
    stamps: np.ndarray,
    lines: np.ndarray,
    frequency: Frequency,
    given: Optional[Frequency],
    who: str,
) -> Tuple[np.ndarray, np.ndarray]:
    """Stamps and their step numbers on the frequency's grid, or the reason why they have none."""
    calendar = frequency.unit in ("year", "quarter", "month")
    if not frequency.fits_kind(stamps):
        raise DataError(
            f"{who} has stamps like {stamp_text(stamps[:1])[0]}, to which the frequency "
            f"'{frequency}' cannot apply",
            "Leave dataset.frequency out (dataset.season sets the season)",
        )
    if frequency.unit in ("hour", "minute", "second"):
        stamps = stamps.astype("M8[s]")
    steps, fits = frequency.positions(stamps)
    if given is not None and calendar and not fits.all():
        # Varying days, one a period: the period itself is the stamp.
        period = {"year": "M8[Y]", "quarter": "M8[3M]", "month": "M8[M]"}[frequency.unit]
        stamps = stamps.astype("M8[M]").astype(period)
        _refuse_duplicates(stamps, lines, who, False)
        steps, fits = frequency.positions(stamps)
    if not fits.all():
        at = int(np.argmin(fits))
        near = stamp_text(stamps[[max(at - 1, 0), at]])
        raise DataError(
            f"{who} is irregular: with the frequency '{frequency}', line {lines[at]} "
            f"({near[1]}) does not follow {near[0]} by whole steps",
            "Give dataset.frequency (month takes one row a month on any day; a smaller unit "
            "leaves gaps missing), or bring the rows to a regular step",
        )
    if steps[-1] >= 20 * len(stamps) + 100:
        raise DataError(
            f"{who} has {len(stamps)} rows, but {steps[-1] + 1} steps of one {frequency} lie "
            f"between {stamp_text(stamps[:1])[0]} and {stamp_text(stamps[-1:])[0]}",
            "Look for a wrong date, or give a longer step by dataset.frequency",
        )
    return stamps, steps


def settle(found: SeriesSet, season: Optional[int], holdout: Optional[int]) -> SeriesSet:
    """Settle season and held-out end, and refuse those that the series are too short for."""
    usual = found.frequency.season if season is None else season
    shortest = int(found.length.min())
    name = found.names[int(np.argmin(found.length))]
    if holdout is None:
        fits = usual if 2 * usual <= shortest else 1
        holdout = max(1, min(24, 2 * fits if fits > 1 else 10, shortest // 5))
    if holdout >= shortest:
        raise DataError(
            f"dataset.holdout={holdout} holds out all of series '{name}' of {found.source}, "
            f"which has {shortest} values",
            f"Set dataset.holdout to {shortest - 2} or less",
        )
    found.split(holdout)  # refuses what leaves a series too little to learn from
    left = shortest - holdout
    if usual > 1 and 2 * usual > left:
        reason = (
            f"a season of {usual} needs {2 * usual} values to learn from, and series '{name}' of "
            f"{found.source} has {left} before the {holdout} held out"
        )
        if season is not None:
            raise DataError(
                reason, "Set dataset.season=1, or a shorter season, or a smaller dataset.holdout"
            )
        return replace(found, season=1, holdout=holdout, notes=(f"no season: {reason}",))
    return replace(found, season=usual, holdout=holdout)
