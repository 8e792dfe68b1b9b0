"""Time-series data sets: a user's CSV file, the built-in classics, simulated series.

Holds the data sets and their options; reading text is in reading.py, the calendar in stamps.py,
and what every data set loads, `SeriesSet`, in shaping.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import List, Literal, Optional

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.timeseries.reading import read_columns
from dope.plugins.timeseries.shaping import LEAST, SeriesSet, settle, shape
from dope.plugins.timeseries.stamps import Frequency

__all__ = ["CO2", "Airline", "Csv", "Frequency", "Nile", "SeriesSet", "Simulated"]

DATA = Path(__file__).parent / "data"


class Csv:
    """Series from a CSV file: one column a series (wide), or one column that names them (long).

    The delimiter (comma, semicolon, tab, bar), the decimal mark, the date column, the columns of
    numbers and the frequency are found when they are not given. Rows are sorted by stamp. Empty
    cells and NA, NaN, null, none, ``?``, ``-``, ``.`` are missing values; stamps that are left
    out become missing values too. Missing values before a series' first observation and after
    its last are dropped.

    Parameters
    ----------
    path
        The file, in UTF-8.
    date
        The column of dates, times or step numbers; default the leftmost that holds some. Without
        one, rows are numbered 1, 2, 3 …
    value
        The columns to read as numbers; default all that hold numbers.
    series
        The column that says which series a row belongs to (long files); default none, or the
        one text column when stamps repeat.
    frequency
        The step between stamps, as in ``month``, ``week``, ``15 minutes``; default the most
        common one. ``month`` also takes dates on varying days, one a month; ``step`` takes years
        as plain numbers.
    season
        Steps in a season, 1 for none; default what the frequency usually has (month 12, quarter
        4, week 52, day 7, hour 24), or 1 where the series hold fewer than two seasons of it.
    holdout
        Values at the end of each series that are kept for measuring forecasts, 0 for none;
        default the least of 24, two seasons (10 when there is no season) and a fifth of the
        shortest series, at least 1.
    day_first
        Whether 03/04/2020 is the 3rd of April; default read from the column, refused where no
        row tells.
    decimal
        The decimal mark; default a point unless the numbers can only have commas.
    """

    def __init__(
        self,
        *,
        path: str,
        date: Optional[str] = None,
        value: Optional[List[str]] = None,
        series: Optional[str] = None,
        frequency: Optional[str] = None,
        season: Optional[int] = None,
        holdout: Optional[int] = None,
        day_first: Optional[bool] = None,
        decimal: Optional[Literal[".", ","]] = None,
    ) -> None:
        _check_at_least("season", season, 1)
        _check_at_least("holdout", holdout, 0)
        if decimal not in (None, ".", ","):
            raise ConfigError(f"dataset.decimal is '{decimal}'", "It is . or , or left out")
        if value is not None and not value:
            raise ConfigError("dataset.value is an empty list", "Name columns, or leave it out")
        if frequency is not None:
            Frequency.parse(frequency)
        self.path = path
        self.date = date
        self.value = value
        self.series = series
        self.frequency = frequency
        self.season = season
        self.holdout = holdout
        self.day_first = day_first
        self.decimal = decimal

    def describe(self) -> str:
        """One line saying what the data are, without reading them."""
        return f"the series in {self.path}"

    def load(self) -> SeriesSet:
        """Read the file.

        Raises
        ------
        DataError
            The file cannot be read as regular series, or is too short for the options.
        """
        given = None if self.frequency is None else Frequency.parse(self.frequency)
        columns = read_columns(
            self.path,
            date=self.date,
            value=self.value,
            series=self.series,
            day_first=self.day_first,
            decimal=self.decimal,
            plain_steps=given is not None and given.unit == "step",
        )
        name = Path(self.path).name
        return settle(shape(columns, given, name), self.season, self.holdout)


class _Shipped:
    """A series from this folder's data/, read as a user's file is."""

    file = ""
    about = ""
    unit = ""

    def __init__(self, season: int, holdout: int) -> None:
        _check_at_least("season", season, 1)
        _check_at_least("holdout", holdout, 0)
        self.season = season
        self.holdout = holdout

    def describe(self) -> str:
        """One line saying what the data are, without reading them."""
        return self.about

    def load(self) -> SeriesSet:
        """Read the series; DataError when the options ask for more than it holds."""
        path = str(DATA / self.file)
        found = Csv(path=path, season=self.season, holdout=self.holdout).load()
        return replace(found, unit=self.unit)


class Nile(_Shipped):
    """Yearly flow of the Nile at Aswan, 1871 to 1970, 10⁸ m³: 100 values (Cobb 1978).

    Parameters
    ----------
    season
        Steps in a season; default 1, none.
    holdout
        Values at the end that are kept for measuring forecasts; default 10.
    """

    file = "nile.csv"
    about = "yearly flow of the Nile at Aswan, 1871 to 1970, 10^8 m3"
    unit = "10⁸ m³ a year"

    def __init__(self, *, season: int = 1, holdout: int = 10) -> None:
        super().__init__(season, holdout)


class Airline(_Shipped):
    """International airline passengers, monthly, 1949 to 1960, thousands: 144 values.

    Box and Jenkins, Time Series Analysis (1970), series G.

    Parameters
    ----------
    season
        Steps in a season; default 12.
    holdout
        Values at the end that are kept for measuring forecasts; default 24.
    """

    file = "airline.csv"
    about = "international airline passengers, monthly, 1949 to 1960, thousands"
    unit = "thousands"

    def __init__(self, *, season: int = 12, holdout: int = 24) -> None:
        super().__init__(season, holdout)


class CO2(_Shipped):
    """Carbon dioxide in the air at Mauna Loa, monthly, 1958-03 to 2001-12, parts per million.

    526 months, 5 of them missing; made from weekly values (Keeling and Whorf 2004) as
    data/README.md says.

    Parameters
    ----------
    season
        Steps in a season; default 12.
    holdout
        Values at the end that are kept for measuring forecasts; default 24.
    """

    file = "co2.csv"
    about = "carbon dioxide at Mauna Loa, monthly, 1958-03 to 2001-12, ppm, 5 months missing"
    unit = "ppm"

    def __init__(self, *, season: int = 12, holdout: int = 24) -> None:
        super().__init__(season, holdout)


class Simulated:
    """Series drawn from the innovation state-space model.

    With one draw ε_t ~ N(0, 1) shared by all components of the state and ν_t ~ N(0, σ²)
    independent of it, z_t = aᵀ l_{t-1} + ν_t and l_t = F l_{t-1} + g ε_t. ``level`` has a level;
    ``trend`` adds a slope, which the level gains at each step, and a = (1, 1); ``seasonal`` adds
    one state a season step, which rotate, the newest gaining γ ε_t. Initial states: level
    N(10, 1), slope N(0, 0.1²), season N(0, 2²) with its mean taken off, so that it sums to 0.

    Parameters
    ----------
    kind
        Which components; ``seasonal`` has all three.
    series
        How many series.
    length
        Values a series, held-out ones included.
    season
        Steps in a season; only ``seasonal`` uses it.
    level_strength, trend_strength, season_strength
        The entries α, β, γ of g: standard deviations, in the data's unit, of what one step adds
        to level, slope and season.
    noise
        σ, standard deviation of the observation noise.
    holdout
        Values at the end of each series that are kept for measuring forecasts.
    seed
        Seed of NumPy's generator; the same seed gives the same series.

    Notes
    -----
    The model is that of Hyndman, Koehler, Ord and Snyder, Forecasting with Exponential Smoothing
    (2008), with the observation noise apart from the innovation as in Rangapuram and others,
    Deep State Space Models for Time Series Forecasting (2018), section 3.
    """

    def __init__(
        self,
        *,
        kind: Literal["level", "trend", "seasonal"] = "trend",
        series: int = 100,
        length: int = 100,
        season: int = 12,
        level_strength: float = 0.5,
        trend_strength: float = 0.05,
        season_strength: float = 0.2,
        noise: float = 1.0,
        holdout: int = 0,
        seed: int = 0,
    ) -> None:
        if kind not in ("level", "trend", "seasonal"):
            raise ConfigError(f"dataset.kind is '{kind}'", "It is level, trend or seasonal")
        _check_at_least("series", series, 1)
        _check_at_least("season", season, 2 if kind == "seasonal" else 1)
        _check_at_least("holdout", holdout, 0)
        _check_at_least("seed", seed, 0)
        _check_at_least("length", length, LEAST)
        strengths = {
            "level_strength": level_strength,
            "trend_strength": trend_strength,
            "season_strength": season_strength,
            "noise": noise,
        }
        for option, strength in strengths.items():
            _check_at_least(option, strength, 0)
        need = 2 * season if kind == "seasonal" else 2
        if length - holdout < need:
            raise ConfigError(
                f"dataset.length={length} with dataset.holdout={holdout} leaves "
                f"{length - holdout} values to learn from, {kind} needs {need}",
                f"Set dataset.length to {need + holdout} or more",
            )
        self.kind = kind
        self.series = series
        self.length = length
        self.season = season
        self.level_strength = level_strength
        self.trend_strength = trend_strength
        self.season_strength = season_strength
        self.noise = noise
        self.holdout = holdout
        self.seed = seed

    def describe(self) -> str:
        """One line saying what the data are, without drawing them."""
        return f"{self.series} simulated {self.kind} series of {self.length} values"

    def load(self) -> SeriesSet:
        """Draw the series; their stamps are 1, 2, 3 …"""
        rng = np.random.default_rng(self.seed)
        level = rng.normal(10.0, 1.0, self.series)
        slope = rng.normal(0.0, 0.1, self.series) * (self.kind != "level")
        season = rng.normal(0.0, 2.0, (self.series, self.season)) * (self.kind == "seasonal")
        season -= season.mean(axis=1, keepdims=True)
        epsilon = rng.standard_normal((self.length, self.series))
        nu = self.noise * rng.standard_normal((self.length, self.series))
        values = np.empty((self.series, self.length))
        for t in range(self.length):
            now = t % self.season  # the place of the season's oldest state, next to be renewed
            values[:, t] = level + slope + season[:, now] + nu[t]
            level = level + slope + self.level_strength * epsilon[t]
            if self.kind != "level":
                slope = slope + self.trend_strength * epsilon[t]
            if self.kind == "seasonal":
                season[:, now] += self.season_strength * epsilon[t]
        width = len(str(self.series))
        return SeriesSet(
            values=values,
            names=[f"simulated {i + 1:0{width}d}" for i in range(self.series)],
            stamps=[np.arange(1, self.length + 1, dtype=np.int64)] * self.series,
            frequency=Frequency("step"),
            season=self.season if self.kind == "seasonal" else 1,
            holdout=self.holdout,
            source=self.describe(),
        )


def _check_at_least(option: str, value: Optional[float], least: int) -> None:
    # `not >=` refuses NaN too.
    if value is not None and not value >= least:
        raise ConfigError(f"dataset.{option} is {value}", f"It is {least} or more")
