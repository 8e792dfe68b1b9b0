"""Series: reading files of every shape, calendars, gaps, held-out ends, simulation, refusals.

Holds tests against counts and sums of the published data, statsmodels' copies, and pandas-free
hand-made calendars; the scores are tested in test_scores.py.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from dope.core.errors import ConfigError, DataError, DopeError
from dope.plugins.timeseries.series import (
    CO2,
    Airline,
    Csv,
    Frequency,
    Nile,
    SeriesSet,
    Simulated,
)
from dope.plugins.timeseries.stamps import stamp_text

NAN = float("nan")


@pytest.fixture
def csv_file(tmp_path):
    def write(text, name="my.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.fixture
def load(csv_file):
    """Write a file and load it, without a held-out end unless asked."""

    def read(text, **options):
        return Csv(path=csv_file(text), **{"holdout": 0, "season": 1, **options}).load()

    return read


@pytest.fixture
def refusal(csv_file):
    """The message with which a file is refused; it must be one line, with a remedy."""

    def message(text, **options):
        with pytest.raises(DataError) as caught:
            Csv(path=csv_file(text), **options).load()
        assert caught.value.hint, "no remedy"
        assert "\n" not in str(caught.value)
        assert "my.csv" in str(caught.value)
        return str(caught.value)

    return message


def rows(stamps, start=1.0):
    return "date,y\n" + "".join(f"{s},{start + i}\n" for i, s in enumerate(stamps))


def stamps_of(found, i=0):
    return stamp_text(found.stamps[i])


# The shipped series


def test_nile_is_the_published_series():
    found = Nile().load()
    assert found.values.shape == (1, 100)
    assert (found.values[0, 0], found.values[0, -1], found.values.sum()) == (1120, 740, 91935)
    assert stamps_of(found)[0] == "1871" and stamps_of(found)[-1] == "1970"
    assert (found.season, found.holdout, str(found.frequency)) == (1, 10, "year")
    assert stamp_text(found.future_stamps(0, 2)) == ["1971", "1972"]


def test_airline_is_series_g():
    found = Airline().load()
    assert found.values.shape == (1, 144)
    assert found.values[0, :4].tolist() == [112, 118, 132, 129]
    assert (found.values[0, -1], found.values.sum(), found.values.max()) == (432, 40363, 622)
    assert (found.season, found.holdout, str(found.frequency)) == (12, 24, "month")
    assert stamps_of(found)[0] == "1949-01" and stamps_of(found)[-1] == "1960-12"
    training, held = found.split()
    assert training.values.shape == (1, 120) and held.shape == (1, 24)
    assert stamp_text(training.future_stamps(0, 24)) == stamps_of(found)[-24:]
    np.testing.assert_array_equal(held[0], found.values[0, -24:])


def test_co2_counts_and_missing_months():
    found = CO2().load()
    assert found.values.shape == (1, 526)
    missing = np.array(stamps_of(found))[np.isnan(found.values[0])].tolist()
    assert missing == ["1958-06", "1958-10", "1964-02", "1964-03", "1964-04"]
    assert (found.values[0, 0], found.values[0, -1]) == (316.10, 371.02)
    assert (found.season, found.holdout) == (12, 24)


def test_shipped_series_equal_those_of_statsmodels():
    datasets = pytest.importorskip("statsmodels.datasets")
    nile = datasets.nile.load_pandas().data
    np.testing.assert_array_equal(Nile().load().values[0], nile["volume"].to_numpy(float))
    np.testing.assert_array_equal(stamps_of(Nile().load()), nile["year"].astype(int).astype(str))
    weekly = datasets.co2.load_pandas().data["co2"]
    monthly = weekly.resample("MS").mean()
    found = CO2().load()
    np.testing.assert_allclose(found.values[0], monthly.to_numpy(), rtol=0, atol=0.005 + 1e-9)
    assert stamps_of(found) == monthly.index.strftime("%Y-%m").tolist()


def test_shipped_options_are_kept_and_used():
    found = Airline(season=6, holdout=12)
    assert (found.season, found.holdout) == (6, 12)
    assert (found.load().season, found.load().holdout) == (6, 12)
    for part in (Nile(), Airline(), CO2(), Simulated(), Csv(path="x.csv")):
        assert part.describe() and "\n" not in part.describe()
    assert "144 values, 1949-01 to 1960-12" in Airline().load().describe()


def test_no_mxnet_and_no_pandas():
    code = (
        "import sys; import dope.plugins.timeseries.series as s; s.CO2().load();"
        "import dope.plugins.timeseries.scores; print({'mxnet', 'pandas'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


# Forms of dates


@pytest.mark.parametrize(
    ("given", "frequency", "follow"),
    [
        (["1871", "1872", "1873"], "year", ["1874", "1875"]),
        (["2019-11", "2019-12", "2020-01"], "month", ["2020-02", "2020-03"]),
        (["2019/11", "2019/12", "2020/01"], "month", ["2020-02"]),
        (["2019M11", "2019M12", "2020M01"], "month", ["2020-02"]),
        (["201911", "201912", "202001"], "month", ["2020-02"]),
        (["11/2019", "12/2019", "01/2020"], "month", ["2020-02"]),
        (["Nov 2019", "Dec 2019", "Jan 2020"], "month", ["2020-02"]),
        (["November-2019", "December-2019", "January-2020"], "month", ["2020-02"]),
        (["2019Q3", "2019Q4", "2020Q1"], "quarter", ["2020Q2", "2020Q3", "2020Q4", "2021Q1"]),
        (["2019-Q3", "2019-Q4", "2020-Q1"], "quarter", ["2020Q2"]),
        (["Q3 2019", "Q4 2019", "Q1 2020"], "quarter", ["2020Q2"]),
        (["2019-07", "2019-10", "2020-01"], "quarter", ["2020-04"]),
        (["2019-12-01", "2020-01-01", "2020-02-01"], "month", ["2020-03-01"]),
        (["2019-12-31", "2020-01-31", "2020-02-29"], "month", ["2020-03-31", "2020-04-30"]),
        (["2021-01-31", "2021-02-28", "2021-03-31"], "month", ["2021-04-30", "2021-05-31"]),
        (["2020-12-30", "2021-01-30", "2021-02-28"], "month", ["2021-03-30"]),
        (["1969-10-31", "1969-11-30", "1969-12-31"], "month", ["1970-01-31", "1970-02-28"]),
        (["2019-06-30", "2019-09-30", "2019-12-31"], "quarter", ["2020-03-31", "2020-06-30"]),
        (["2018-12-31", "2019-12-31", "2020-12-31"], "year", ["2021-12-31"]),
        (["2016-02-29", "2017-02-28", "2018-02-28"], "year", ["2019-02-28", "2020-02-29"]),
        (["2000", "2002", "2004"], "2 years", ["2006"]),
        (["2020-02-17", "2020-02-24", "2020-03-02"], "week", ["2020-03-09"]),
        (["2019-W52", "2020-W01", "2020-W02"], "week", ["2020-01-13"]),
        (["2020-02-28", "2020-02-29", "2020-03-01"], "day", ["2020-03-02"]),
        (["20200228", "20200229", "20200301"], "day", ["2020-03-02"]),
        (["2020.02.28", "2020.02.29", "2020.03.01"], "day", ["2020-03-02"]),
        (["28.02.2020", "29.02.2020", "01.03.2020"], "day", ["2020-03-02"]),
        (["01.02.2020", "01.03.2020", "01.04.2020"], "month", ["2020-05-01"]),
        (["28/02/2020", "29/02/2020", "01/03/2020"], "day", ["2020-03-02"]),
        (["2/28/2020", "2/29/2020", "3/1/2020"], "day", ["2020-03-02"]),
        (["28 Feb 2020", "29 Feb 2020", "1 Mar 2020"], "day", ["2020-03-02"]),
        (["28-Feb-2020", "29-Feb-2020", "01-Mar-2020"], "day", ["2020-03-02"]),
        (["2020-01-01 00:00:00", "2020-01-02 00:00:00", "2020-01-03 00:00:00"], "day",
         ["2020-01-04"]),
        (["2020-01-01 22:00", "2020-01-01 23:00", "2020-01-02 00:00"], "hour",
         ["2020-01-02 01:00:00"]),
        (["2020-01-01T22:00:00Z", "2020-01-01T23:00:00Z", "2020-01-02T00:00:00Z"], "hour",
         ["2020-01-02 01:00:00"]),
        (["2020-03-29T01:00+01:00", "2020-03-29T03:00+02:00", "2020-03-29T04:00+02:00"], "hour",
         ["2020-03-29 03:00:00"]),
        (["1/31/2020 11:45 PM", "2/1/2020 12:00 AM", "2/1/2020 12:15 AM"], "15 minutes",
         ["2020-02-01 00:30:00"]),
        (["2020-01-01 00:00:00.000", "2020-01-01 00:00:30.000", "2020-01-01 00:01:00.000"],
         "30 seconds", ["2020-01-01 00:01:30"]),
        (["2020-01-31 16:00", "2020-02-29 16:00", "2020-03-31 16:00"], "month",
         ["2020-04-30 16:00:00"]),
        (["7", "8", "9"], "step", ["10", "11"]),
        (["0", "10", "20"], "10 steps", ["30"]),
    ],
)  # fmt: skip
def test_stamps_are_read_and_followed(load, given, frequency, follow):
    found = load(rows(given))
    assert str(found.frequency) == frequency
    assert found.values.tolist() == [[1.0, 2.0, 3.0]]
    assert stamp_text(found.future_stamps(0, len(follow))) == follow


def test_american_dates_in_quotes(load):
    text = 'date,y\n"Feb 28, 2020",1\n"Feb 29, 2020",2\n"Mar 1, 2020",3\n'
    assert stamp_text(load(text).future_stamps(0, 1)) == ["2020-03-02"]


def test_day_first_settles_the_order(load):
    given = rows(["01/02/2020", "01/03/2020", "01/04/2020"])
    assert str(load(given, day_first=True).frequency) == "month"
    assert stamps_of(load(given, day_first=False)) == ["2020-01-02", "2020-01-03", "2020-01-04"]


def test_business_days_skip_weekends(load):
    days = np.arange("2024-01-01", "2024-01-27", dtype="M8[D]")  # ends on Friday the 26th
    days = days[np.is_busday(days)]
    found = load(rows(np.delete(days, 10)))  # one holiday
    assert str(found.frequency) == "business day"
    assert found.frequency.season == 5
    assert found.values.shape == (1, 20) and np.isnan(found.values[0, 10])
    assert stamp_text(found.future_stamps(0, 2)) == ["2024-01-29", "2024-01-30"]
    daily = load(rows(days), frequency="day")
    assert daily.values.shape == (1, 26) and np.isnan(daily.values).sum() == 6


def test_a_smaller_frequency_leaves_gaps(load):
    found = load(rows(["2020-01-01", "2020-01-02", "2020-01-03"]), frequency="12 hours")
    np.testing.assert_array_equal(found.values, [[1, NAN, 2, NAN, 3]])
    assert stamps_of(found)[1] == "2020-01-01 12:00:00"
    assert stamp_text(found.future_stamps(0, 2)) == ["2020-01-03 12:00:00", "2020-01-04 00:00:00"]


def test_step_frequency_takes_years_as_numbers(load):
    found = load(rows([1950, 1951, 1952]), frequency="step")
    assert found.stamps[0].dtype.kind == "i" and found.future_stamps(0, 2).tolist() == [1953, 1954]


def test_month_takes_any_day_when_asked(load):
    found = load(rows(["2020-01-31", "2020-02-28", "2020-04-30", "2020-05-29"]), frequency="month")
    assert stamps_of(found)[:3] == ["2020-01", "2020-02", "2020-03"]
    assert np.isnan(found.values[0, 2]) and stamp_text(found.future_stamps(0, 1)) == ["2020-06"]


@pytest.mark.parametrize(
    ("text", "unit", "multiple", "season"),
    [
        ("month", "month", 1, 12),
        ("Monthly", "month", 1, 12),
        ("3 months", "month", 3, 4),
        ("quarter", "quarter", 1, 4),
        ("annual", "year", 1, 1),
        ("weekly", "week", 1, 52),
        ("day", "day", 1, 7),
        ("business days", "business day", 1, 5),
        ("hours", "hour", 1, 24),
        ("15 minutes", "minute", 15, 96),
        ("1 min", "minute", 1, 60),
        ("7 minutes", "minute", 7, 1),
        ("10 seconds", "second", 10, 6),
        ("step", "step", 1, 1),
    ],
)
def test_frequencies_by_name(text, unit, multiple, season):
    assert Frequency.parse(text) == Frequency(unit, multiple)
    assert Frequency.parse(text).season == season
    assert Frequency.parse(str(Frequency.parse(text))) == Frequency(unit, multiple)


@pytest.mark.parametrize("text", ["mnth", "0 days", "fortnight", "", "2 business days", "1.5 days"])
def test_no_such_frequency(text):
    with pytest.raises(ConfigError, match="not a frequency") as caught:
        Csv(path="x.csv", frequency=text)
    assert "\n" not in str(caught.value) and "15 minutes" in caught.value.hint


# Files


WANT = [[1.5, 2.5, NAN, 4.5]]
DAYS = ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"]


@pytest.mark.parametrize(
    "text",
    [
        "date,y\n2020-01-01,1.5\n2020-01-02,2.5\n2020-01-03,\n2020-01-04,4.5\n",
        "\ufeffdate,y\r\n2020-01-01,1.5\r\n2020-01-02,2.5\r\n2020-01-03,NA\r\n2020-01-04,4.5",
        "date;y\n2020-01-01;1,5\n2020-01-02;2,5\n2020-01-03;?\n2020-01-04;4,5\n",
        "date\ty\n2020-01-01\t1.5\n2020-01-02\t2.5\n2020-01-03\tnull\n2020-01-04\t4.5\n",
        "date|y\n2020-01-01|1.5\n2020-01-02|2.5\n2020-01-03|NaN\n2020-01-04|4.5\n",
        '"date","y"\n"2020-01-01","1.5"\n"2020-01-02","2.5"\n"2020-01-03",""\n"2020-01-04","4.5"',
        'date,y\n2020-01-01,"1,5"\n2020-01-02,"2,5"\n2020-01-03,\n2020-01-04,"4,5"\n',
        "# made by hand\n# in ppm\ndate,y\n2020-01-01,1.5\n2020-01-02,2.5\n\n2020-01-04,4.5\n",
        "date,y\n2020-01-04,4.5\n2020-01-01,1.5\n2020-01-02, 2.5 \n",
        "date,y\r2020-01-01,15e-1\r2020-01-02,2.5\r2020-01-04,4.5\r",
        "2020-01-01,1.5\n2020-01-02,2.5\n2020-01-04,4.5\n",
        "2020-01-01;1,5\n2020-01-02;2,5\n2020-01-04;4,5\n",
        "y,date,note\n1.5,2020-01-01,a b\n2.5,2020-01-02,\n4.5,2020-01-04,c\n",
        "date,y\n2019-12-31,\n2020-01-01,1.5\n2020-01-02,2.5\n2020-01-04,4.5\n2020-01-05,\n",
        "date,y,\n2020-01-01,1.5,\n2020-01-02,2.5,\n2020-01-04,4.5,\n",
    ],
    ids=[
        "plain",
        "bom-crlf",
        "semicolon-decimal-comma",
        "tab",
        "bar",
        "quoted",
        "quoted-decimal-comma",
        "comments-blank-line",
        "unsorted",
        "old-mac-line-ends",
        "no-header",
        "no-header-decimal-comma",
        "text-column-left-out",
        "missing-ends-dropped",
        "empty-last-column",
    ],
)
def test_the_same_series_however_written(load, text):
    found = load(text)
    np.testing.assert_array_equal(found.values, WANT)
    assert stamps_of(found) == DAYS


def test_marks_of_thousands(load):
    day = "date;y\n2020-01-01;{}\n2020-01-02;{}\n2020-01-03;{}\n"
    assert load(day.format("1.234,5", "12,25", "7")).values.tolist() == [[1234.5, 12.25, 7.0]]
    assert load(day.format("1,234.5", "12.25", "7")).values.tolist() == [[1234.5, 12.25, 7.0]]
    unclear = day.format("1,234", "2,345", "3,456")
    assert load(unclear, decimal=",").values.tolist() == [[1.234, 2.345, 3.456]]
    assert load(unclear, decimal=".").values.tolist() == [[1234.0, 2345.0, 3456.0]]
    assert load(day.format("1.234", "2.345", "3.456")).values[0, 0] == 1.234


def test_a_column_of_numbers_alone_is_numbered(load):
    for text in ("y\n3\n5\n4\n", "3\n5\n4\n"):
        found = load(text)
        assert found.values.tolist() == [[3.0, 5.0, 4.0]]
        assert found.stamps[0].tolist() == [1, 2, 3] and str(found.frequency) == "step"
        assert found.future_stamps(0, 2).tolist() == [4, 5]


def test_rising_whole_numbers_are_values_unless_they_count_rows(load):
    found = load("a,b\n10,9\n20,8\n30,7\n")
    assert found.names == ["a", "b"] and found.stamps[0].tolist() == [1, 2, 3]


def test_row_numbers_count_time(load):
    found = load(",a,b\n0,3,9\n1,5,8\n3,4,7\n")
    assert found.names == ["a", "b"] and found.stamps[0].tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(found.values, [[3, 5, NAN, 4], [9, 8, NAN, 7]])


WIDE = "when,a,b,c\n" + "".join(f"2020-{m:02d},{m},{m * 10},{m * 100}\n" for m in range(1, 7))


def test_wide_file_and_chosen_columns(load):
    assert load(WIDE).names == ["a", "b", "c"]
    found = load(WIDE, value=["c", "a"], date="when")
    assert found.names == ["c", "a"]
    assert found.values[:, 1].tolist() == [200.0, 2.0]


def test_wide_columns_keep_their_own_begin_and_end(load):
    found = load("d,a,b\n2020-01,1,\n2020-02,2,\n2020-03,3,7\n2020-04,,8\n2020-05,,9\n2020-06,,6\n")
    assert found.length.tolist() == [3, 4]
    np.testing.assert_array_equal(found.values, [[1, 2, 3, NAN], [7, 8, 9, 6]])
    assert stamp_text(found.future_stamps(0, 1)) == ["2020-04"]
    assert stamp_text(found.future_stamps(1, 1)) == ["2020-07"]
    training, held = found.split(1)
    assert held.tolist() == [[3.0], [6.0]]
    np.testing.assert_array_equal(training.values, [[1, 2, NAN], [7, 8, 9]])
    assert stamp_text(training.future_stamps(0, 1)) == ["2020-03"]


LONG = (
    "shop,day,sales\nsouth,2020-01-03,30\nnorth,2020-01-01,1\nnorth,2020-01-02,2\n"
    "south,2020-01-04,40\nnorth,2020-01-04,4\nsouth,2020-01-05,50\nsouth,2020-01-06,60\n"
)


@pytest.mark.parametrize("options", [{}, {"series": "shop"}, {"series": "shop", "date": "day"}])
def test_long_file(load, options):
    found = load(LONG, **options)
    by_name = dict(zip(found.names, found.values))
    np.testing.assert_array_equal(by_name["north"], [1, 2, NAN, 4])
    np.testing.assert_array_equal(by_name["south"], [30, 40, 50, 60])
    south = found.names.index("south")
    assert stamps_of(found, south)[0] == "2020-01-03"
    assert stamp_text(found.future_stamps(south, 1)) == ["2020-01-07"]
    assert stamp_text(found.future_stamps(1 - south, 1)) == ["2020-01-05"]


def test_long_file_with_two_values_and_numbered_series(load):
    text = "id,ds,y,x\n" + "".join(f"{i},{t},{10 * i + t},{t}\n" for i in (1, 2) for t in range(4))
    found = load(text, series="id")
    assert found.names == ["1.y", "1.x", "2.y", "2.x"]
    np.testing.assert_array_equal(found.values[2], [20, 21, 22, 23])


def test_long_file_without_dates_numbers_each_series(load):
    found = load("name,y\na,1\nb,7\na,2\nb,8\na,3\nb,9\na,4\n", series="name")
    assert found.values[0].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(found.values[1], [7, 8, 9, NAN])
    assert [s[-1] for s in found.stamps] == [4, 3]


def test_month_ends_stay_month_ends_in_a_panel_of_first_days(load):
    text = "s,date,y\n"
    text += "".join(f"a,2020-{m:02d}-01,{m}\n" for m in range(1, 5))
    text += "b,2020-01-31,1\nb,2020-02-29,2\nb,2020-04-30,4\n"
    found = load(text, series="s")
    assert str(found.frequency) == "month"
    assert stamp_text(found.future_stamps(0, 1)) == ["2020-05-01"]
    assert stamps_of(found, 1) == ["2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30"]
    assert stamp_text(found.future_stamps(1, 2)) == ["2020-05-31", "2020-06-30"]


# Season and held-out end


def monthly(count):
    return rows([f"{2000 + i // 12}-{i % 12 + 1:02d}" for i in range(count)])


@pytest.mark.parametrize(
    ("count", "season", "holdout"), [(200, 12, 24), (60, 12, 12), (30, 12, 6), (29, 12, 5)]
)
def test_usual_season_and_holdout(csv_file, count, season, holdout):
    found = Csv(path=csv_file(monthly(count))).load()
    assert (found.season, found.holdout, found.notes) == (season, holdout, ())


def test_usual_season_gives_way_when_the_series_is_short(csv_file):
    found = Csv(path=csv_file(monthly(20))).load()
    assert (found.season, found.holdout) == (1, 4)
    assert "season of 12 needs 24" in found.notes[0]
    assert Csv(path=csv_file(rows(range(1901, 1904)))).load().holdout == 1
    assert Csv(path=csv_file(rows(range(1801, 2001)))).load().holdout == 10


def test_a_season_that_just_fits(csv_file):
    found = Csv(path=csv_file(monthly(26)), season=12, holdout=2).load()
    assert (found.season, found.holdout) == (12, 2)
    with pytest.raises(DataError, match="needs 24 values to learn from"):
        Csv(path=csv_file(monthly(26)), season=12, holdout=3).load()


def test_split_of_nothing():
    found = Airline(holdout=0).load()
    training, held = found.split()
    assert held.shape == (1, 0)
    np.testing.assert_array_equal(training.values, found.values)


# Refusals


def test_no_such_file(tmp_path):
    (tmp_path / "sales.csv").write_text("x")
    with pytest.raises(DataError) as caught:
        Csv(path=str(tmp_path / "sale.csv")).load()
    message = str(caught.value)
    assert "there is no file" in message and "Did you mean 'sales.csv'?" in message
    assert "CSV file" in message and "\n" not in message


def test_a_directory(tmp_path):
    with pytest.raises(DataError, match="is a directory") as caught:
        Csv(path=str(tmp_path)).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"# only this\n", "is empty"),
        (b"date,y\n", "nothing below"),
        (b"\x89PNG\0\0\0", "binary"),
        (b"PK\x03\x04\x14\0", "Excel"),
        (b"\x1f\x8b\x08\0", "gzip"),
        ("date,y\n2020,1\n".encode("utf-16"), "UTF-16"),
        ("date,höhe\n2020,1\n".encode("latin-1"), "line 1 of"),
        ("date,y,n\n2020,1,a\n2021,2,Zürich\n".encode("latin-1"), "line 3 of"),
        (b'date,y\n2020,"1\n2021,2\n', "quotation mark"),
        (b"date,y\n2020,1,5\n2021,2,5\n", "line 2 of"),
        (b"date,y\n2020,1\n2021\n", "line 3 of"),
        (b"y,y\n1,2\n3,4\n5,6\n", "two columns named 'y'"),
        (b"x" * 200_000, "no CSV"),
    ],
)
def test_files_that_are_no_table(refusal, content, says):
    assert says in refusal(content)


def test_no_such_column(refusal):
    message = refusal(WIDE.replace("when", "date"), value=["aa"], date="dat")
    assert "no column 'dat' (dataset.date)" in message and "Did you mean 'date'?" in message
    assert "Its columns are: date, a, b, c" in message
    message = refusal(WIDE, value=["a", "Sales"])
    assert "no column 'Sales' (dataset.value)" in message and "when, a, b, c" in message
    assert "no column 'shop' (dataset.series)" in refusal(WIDE, series="shop")


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("date,name\n2020,a\n2021,b\n2022,c\n", {}, ["no column of numbers", "date, name"]),
        ("date,y\n2020,NA\n2021,NA\n2022,\n", {}, ["no column of numbers"]),
        ("date,y\n2020,NA\n2021,NA\n2022,\n", {"value": ["y"]}, ["column 'y'", "no number"]),
        (rows([2020, 2021, 2022, 2023]).replace("2.0", "2.0x"), {},
         ["line 3", "column 'y'", "'2.0x' is not a number"]),
        (rows([2020, 2021, 2022, 2023]).replace("3.0", "1_000"), {}, ["line 4", "'1_000'"]),
        (rows([2020, 2021, 2022, 2023]).replace("3.0", "inf"), {}, ["line 4", "infinite"]),
        (rows([2020, 2021, 2022, 2023]).replace("3.0", "-Infinity"), {}, ["line 4", "infinite"]),
        (rows([2020, 2021, 2022, 2023]).replace("3.0", "1e999"), {}, ["line 4", "infinite"]),
        (rows([2020, 2021, 2022, 2021]), {}, ["stamp 2021", "lines 3 and 5", "dataset.series"]),
        (rows(["2020-01", "2020-02", "2020-02", "2020-02", "2020-02"]), {}, ["lines 3, 4, 5 …"]),
        (LONG + "north,2020-01-02,9\n", {}, ["series 'north'", "2020-01-02", "lines 4 and 9"]),
        (rows([2020, 2021]), {}, ["only two rows"]),
        (rows([2020]), {}, ["only one row"]),
        (LONG + "east,2020-01-02,9\n", {}, ["series 'east'", "only one row"]),
        ("date,a,b\n2020,1,1\n2021,2,\n2022,3,2\n", {}, ["series 'b'", "only two values"]),
        ("date,y\n2020-01-01,1\n2020-02-30,2\n2020-03-01,3\n", {},
         ["line 3", "column 'date'", "2020-02-30", "calendar"]),
        (rows(["2020-01", "2020-02", "soon", "2020-04"]), {}, ["line 4", "'soon'"]),
        (rows(["2020-01", "2020-02", "", "2020-04"]), {}, ["line 4", "no stamp"]),
        (rows(["01/02/2020", "02/02/2020", "03/02/2020"]), {},
         ["'01/02/2020' may be day/month or month/day", "dataset.day_first"]),
        (rows(["13/02/2020", "02/13/2020", "03/02/2020"]), {}, ["line 3", "day/month"]),
        (rows(["13/02/2020", "14/02/2020", "15/02/2020"]), {"day_first": False}, ["month 13"]),
        (rows(["2020-01-01 10:00:00.5", "2020-01-01 10:00:01", "2020-01-01 10:00:02"]), {},
         ["line 2", "whole seconds"]),
        (rows(["apple", "pear", "plum"]), {"date": "date"}, ["holds no dates", "'apple'"]),
        (rows(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-03 07:00"]), {},
         ["irregular", "line 5", "2020-01-03 07:00:00", "dataset.frequency"]),
        (rows(["2020-01-01", "2020-02-01", "2020-03-02", "2020-04-01"]), {},
         ["irregular", "'month'", "line 4"]),
        (rows(["2020-01-01", "2020-02-05", "2020-03-17", "2020-08-01"]), {}, ["irregular"]),
        (rows(["2020-01-01", "2020-01-02", "2020-01-03"]), {"frequency": "week"}, ["irregular"]),
        (rows(["2020-01-01", "2020-01-12", "2020-03-03"]), {"frequency": "month"},
         ["2020-01 more than once", "lines 2 and 3"]),
        (rows([2020, 2021, 2022]), {"frequency": "day"}, ["frequency 'day' cannot apply"]),
        (rows([7, 8, 9]), {"frequency": "month"}, ["frequency 'month' cannot apply"]),
        (rows(["2020-01-01", "2020-01-02", "2020-01-03", "2920-01-03"]), {},
         ["4 rows, but", "wrong date"]),
        ("date;y\n2020;1,234\n2021;2,345\n2022;3,456\n", {}, ["decimal comma", "dataset.decimal"]),
        ("s,date,y\na,2020,1\n,2021,2\na,2022,3\n", {"series": "s"}, ["line 3", "no name"]),
        (monthly(20), {"season": 24}, ["season of 24 needs 48", "dataset.season=1"]),
        (monthly(24), {"season": 12, "holdout": 1}, ["season of 12 needs 24", "has 23"]),
        (monthly(20), {"holdout": 20}, ["dataset.holdout=20", "20 values", "to 18 or less"]),
        (monthly(20), {"holdout": 19}, ["one value to learn from", "to 18 or less"]),
    ],
)  # fmt: skip
def test_refusals(refusal, text, options, says):
    message = refusal(text, **options)
    for part in says:
        assert part in message


def test_line_numbers_count_quoted_line_breaks_and_comments(refusal):
    text = '# a\ndate,y,note\n2020,1,"two\nlines"\n2021,2,\n2022,oops,\n2023,4,\n'
    assert "line 6, column 'y'" in refusal(text)


@pytest.mark.parametrize(
    ("part", "options"),
    [
        (Csv, {"path": "x", "season": 0}),
        (Csv, {"path": "x", "holdout": -1}),
        (Csv, {"path": "x", "decimal": ";"}),
        (Csv, {"path": "x", "value": []}),
        (Nile, {"season": 0}),
        (Airline, {"holdout": -2}),
        (Simulated, {"kind": "wave"}),
        (Simulated, {"series": 0}),
        (Simulated, {"noise": -1.0}),
        (Simulated, {"noise": NAN}),
        (Simulated, {"kind": "seasonal", "season": 1}),
        (Simulated, {"kind": "seasonal", "length": 30, "holdout": 7}),
        (Simulated, {"length": 10, "holdout": 9}),
    ],
)
def test_options_that_cannot_be(part, options):
    with pytest.raises(ConfigError) as caught:
        part(**options)
    assert caught.value.hint and "\n" not in str(caught.value)


def test_shipped_series_refuse_what_does_not_fit():
    with pytest.raises(DataError, match="season of 60 needs 120"):
        Nile(season=60).load()
    with pytest.raises(DataError, match="holds out all"):
        Nile(holdout=100).load()


# Files at random: whatever is in them, a series or one line


def test_random_text_is_read_or_refused_in_one_line(csv_file):
    rng = np.random.default_rng(7)
    cells = ["1", "2.5", "-3", "", "NA", "a", "2020-01-01", "2020-02", "2021", "1/2/2020", "1,5"]
    cells += ['"', "inf", "Q1 2020", "2020Q1", "\t", "12:30", "1e5", "é", "#", ".", "5%", "\0"]
    seen = set()
    for _ in range(400):
        columns = rng.integers(1, 4)
        text = "\n".join(
            rng.choice([",", ";"]).join(rng.choice(cells, columns))
            for _ in range(rng.integers(1, 7))
        )
        try:
            found = Csv(path=csv_file(text)).load()
        except DopeError as error:
            assert "\n" not in str(error) and error.hint
            seen.add("refused")
        else:
            assert np.isfinite(found.values).sum() >= 3 * len(found)
            seen.add("read")
    assert "refused" in seen


# Simulation


def test_simulation_repeats_by_seed():
    one, same, other = (Simulated(series=5, seed=s).load().values for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("kind", ["level", "trend", "seasonal"])
def test_simulation_follows_the_matrices_of_its_model(kind):
    """Without observation noise, z_t = aᵀ l_{t-1} with the written-out F, g must hold."""
    m = 4
    options = {"kind": kind, "series": 3, "length": 40, "season": m, "noise": 0.0}
    made = Simulated(**options, level_strength=0.7, trend_strength=0.2, season_strength=0.4)
    z = made.load().values
    size = {"level": 1, "trend": 2, "seasonal": 2 + m}[kind]
    transition, a, g = np.zeros((size, size)), np.zeros(size), np.zeros(size)
    transition[0, 0] = a[0] = 1.0
    g[0] = 0.7
    if kind != "level":
        transition[0, 1] = transition[1, 1] = a[1] = 1.0
        g[1] = 0.2
    if kind == "seasonal":
        transition[2, 1 + m] = a[1 + m] = 1.0  # the oldest season state comes round
        transition[3:, 2:-1] += np.eye(m - 1)
        g[2] = 0.4
    # Each z gives aᵀ F^t l_0 plus earlier ε; with l_0 and all ε unknown the fit must be exact.
    length = z.shape[1]
    power, design = np.eye(size), np.zeros((length, size + length))
    for t in range(length):
        design[t, :size] = a @ power
        for s in range(t):
            design[t, size + s] = a @ np.linalg.matrix_power(transition, t - 1 - s) @ g
        power = transition @ power
    rng = np.random.default_rng(made.seed)
    level, slope = rng.normal(10, 1, 3), rng.normal(0, 0.1, 3)
    season = rng.normal(0, 2, (3, m))
    season -= season.mean(axis=1, keepdims=True)
    first = np.concatenate([level[:, None], slope[:, None], season[:, ::-1]], axis=1)[:, :size]
    epsilon = rng.standard_normal((length, 3)).T
    np.testing.assert_allclose(np.hstack([first, epsilon]) @ design.T, z, rtol=1e-10)


def test_simulated_moments():
    found = Simulated(kind="level", series=4000, length=30, level_strength=0.5, noise=2.0).load()
    assert isinstance(found, SeriesSet) and found.values.shape == (4000, 30)
    steps = np.diff(found.values, axis=1)  # variance α² + 2σ², lag-one covariance -σ²
    assert np.var(steps) == pytest.approx(0.25 + 8.0, rel=0.03)
    assert np.mean(steps[:, 1:] * steps[:, :-1]) == pytest.approx(-4.0, rel=0.03)
    assert found.season == 1 and found.stamps[0].tolist() == list(range(1, 31))
    still = Simulated(kind="seasonal", series=2, length=48, noise=0, level_strength=0,
                      trend_strength=0, season_strength=0).load()  # fmt: skip
    cycles = still.values.reshape(2, 4, 12)
    np.testing.assert_allclose(np.diff(cycles, 2, axis=1), 0, atol=1e-12)
    assert still.season == 12
    slope = (cycles[:, 1] - cycles[:, 0]).mean(axis=1) / 12
    seasonal = still.values[:, :12] - slope[:, None] * np.arange(12)
    level = seasonal.mean(axis=1) - slope  # the season sums to zero; z_1 has level and slope
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(level, rng.normal(10, 1, 2))
