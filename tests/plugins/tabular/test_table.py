"""Reading tables: broken lines, kinds of columns, what training rows teach, what it becomes.

Holds no training; that is in test_table_task.py. Golden numbers are NumPy's, written out.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from dope.core.errors import ConfigError, DataError
from dope.plugins.tabular.columns import Wishes, day, look, number
from dope.plugins.tabular.csv_data import Csv
from dope.plugins.tabular.encoding import Encoding, Scale, Scaling, Words
from dope.plugins.tabular.houses_generated import generated, log_price
from dope.plugins.tabular.table import Absent, Table, read_table
from dope.plugins.tabular.target import (
    classification_figures,
    find_target,
    kind_of,
    regression_figures,
    trivial,
)

MISSING = ("", "NA")


def write(folder, text, name="rows.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def table(**columns):
    n = len(next(iter(columns.values())))
    return Table("made.csv", columns, range(2, n + 2))


def test_reads_quotes_newlines_and_a_byte_order_mark(tmp_path):
    path = write(tmp_path, b'\xef\xbb\xbfa, b\r\n1,"x, ""y"""\r\n\r\n2,"two\nlines"\n')
    found = read_table(path)
    assert dict(found.columns) == {"a": ["1", "2"], "b": ['x, "y"', "two\nlines"]}
    assert list(found.lines) == [2, 5] and found.skipped == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_finds_the_delimiter(delimiter, tmp_path):
    path = write(tmp_path, "\n".join(delimiter.join(row) for row in ("ab", "12", "34")))
    assert read_table(path)["b"] == ["2", "4"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3\n", "line 3 of {path} has 1 cells where the first row has 2"),
        ("a,b\n1,2\n3,4,5\n", "line 3 of {path} has 3 cells where the first row has 2"),
        ('a,b\n1,2\n3,"x"y\n', "line 3 of {path} is no CSV"),
        (b"a,b\n1,2\ncaf\xe9,4\n", "line 3 of {path} is not UTF-8 (byte 0xe9)"),
        ('a,b\n1,2\n3,"4\n5,6\n', "line 3 of {path} opens a quotation mark that is never closed"),
        ("a,a\n1,2\n", "{path} has two columns named 'a'"),
        ("1,2\n3,4\n", "the first row of {path} holds numbers, not column names"),
        ("a,b\n", "{path} has no row of data below its column names"),
        ("", "{path} is empty"),
        (b"PK\x03\x04", "{path} is an Excel workbook or a zip archive, not CSV text"),
        (b"a,b\n\0,1\n", "{path} is a binary file, not CSV text"),
    ],
)
def test_says_which_line_is_broken(text, said, tmp_path):
    path = write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.message.startswith(said.format(path=path))


def test_skips_and_counts_broken_lines(tmp_path):
    wide = "x" * 140_000
    path = write(tmp_path, f"a,b\n1,2\n3\n4,5\n6,7,8\ncaf\xe9,9\n{wide},1\n".encode("latin-1"))
    found = read_table(path, skip=True)
    assert found["a"] == ["1", "4"] and list(found.lines) == [2, 4]
    assert [line.partition(" of ")[0] for line in found.skipped] == [
        f"line {n}" for n in (3, 5, 6, 7)
    ]
    with pytest.raises(DataError, match="never closed"):  # it would swallow what follows
        read_table(write(tmp_path, 'a,b\n1,2\n"3,4\n5,6\n'), skip=True)


def test_a_missing_file_has_a_near_name(tmp_path):
    write(tmp_path, "a\n1\n", "houses.csv")
    with pytest.raises(Absent, match=r"Did you mean 'houses\.csv'"):
        read_table(tmp_path / "house.csv")


def test_numbers_and_days():
    assert [number(c) for c in ("1e3", "-2.5", "inf", "nan", "1_0", "x", "1e200")] == [
        1000, -2.5, None, None, None, None, None,
    ]  # fmt: skip
    assert day("1970-01-02") == 1 and day("2000-03-01T12:00:00Z") == 11017.5
    assert day("2001-02-29") is None and day("2001-01-01 25:00") is None


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("price", ["1.5", "2", "", "-3e2"], "numeric"),
        ("colour", ["red", "blue", "red", ""], "categorical"),
        ("sold", ["2020-01-31", "2021-12-01", "NA", "2020-02-01"], "date"),
        ("when", ["2020-01-31 10:00", "2020-01-31T11:30:00", "2020-02-01"], "date"),
        ("Id", ["7", "9", "8", "1"], "identifier"),
        ("customer_id", ["1", "2", "3"], "identifier"),
        ("width", ["7", "9", "8", "1"], "numeric"),
        ("card", ["12345678901234567890", "12345678901234567891"], "identifier"),
        ("deep", ["9" * 5000, "8" * 5000], "categorical"),
        ("name", [f"person {i}" for i in range(30)], "identifier"),
        ("same", ["x", "x", "x"], "left out"),
        ("void", ["", "NA", ""], "left out"),
        ("flag", ["yes", "", "yes"], "categorical"),
        ("mostly", [*map(str, range(40)), "oops"], "numeric"),
    ],
)
def test_types_columns_by_looking(name, cells, kind):
    assert look(name, cells, frozenset(MISSING))[0] == kind


def test_wishes_win_and_contradictions_are_refused():
    rows = table(code=["1", "2", "1"], other=["a", "b", "c"])
    assert Wishes(categorical=("code",)).kinds(rows)["code"] == ("categorical", "as told")
    with pytest.raises(DataError, match="Did you mean 'code'"):
        Wishes(numeric=("kode",)).kinds(rows)
    with pytest.raises(ConfigError, match="'code' is wished for as numeric and as date"):
        Wishes(numeric=("code",), date=("code",))


def test_scales_by_known_values_of_training_rows():
    scale = Scale.learn(np.array([1.0, 3.0, np.nan, 5.0]), Scaling())
    assert (scale.mean, scale.missing) == (3, 1)
    assert scale.sd == pytest.approx(np.std([1, 3, 5]))
    np.testing.assert_allclose(scale(np.array([3.0, np.nan, 100.0])), [0, 0, 97 / scale.sd])
    assert Scale.learn(np.full(5, 1e9 + 0.1), Scaling())(np.array([1e9 + 0.1])) == 0


def test_takes_logarithms_of_skewed_numbers_and_cuts_off():
    x = np.array([1.0] * 30 + [1000.0])
    scale = Scale.learn(x, Scaling(log_skew=1.5, clip=3))
    y = np.log1p(x)
    assert scale.log and scale.mean == pytest.approx(y.mean()) and scale.cut == 1
    assert scale(np.array([1e6, -5.0])).tolist() == pytest.approx([3, -y.mean() / y.std()])
    assert not Scale.learn(-x, Scaling(log_skew=1.5)).log  # below zero
    assert not Scale.learn(np.arange(31.0), Scaling(log_skew=1.5)).log  # not skewed


def test_rare_and_unseen_words_share_a_column():
    learned = Words.learn(["a", "a", "b", "c", "", ""], Scaling(rare=2))
    assert learned.words == ["", "a"] and learned.rare == ["b", "c"] and learned.width == 3
    assert learned.codes(["a", "b", "new", ""]).tolist() == [1, 2, 2, 0]
    plain = Words.learn(["a", "b"], Scaling())
    assert plain.width == 2 and plain.codes(["new"]).tolist() == [2]
    assert Words.learn(list("aabbc"), Scaling(most_words=2)).words == ["a", "b"]


ROWS = table(
    size=["1", "3", "NA", "100"],
    colour=["red", "blue", "", "green"],
    grade=["lo", "hi", "lo", "top"],
    sold=["2020-01-06", "2020-07-07", "", "2021-01-01"],
)
KINDS = {"size": "numeric", "colour": "categorical", "grade": "categorical", "sold": "date"}


def test_encodes_all_kinds_and_counts_what_is_unseen():
    encoding = Encoding.learn(
        ROWS, np.array([0, 1, 2]), KINDS, MISSING, Scaling(ranks=("lo<hi<top",))
    )
    found = encoding(ROWS)
    size = np.array([-1, 1, 0, 98])
    np.testing.assert_allclose(found.numbers[:, 0], size)
    np.testing.assert_allclose(found.numbers[:, 1], [0, 0, 1, 0])  # where it is missing
    ranks = (np.array([1, 2, 1, 3]) - 4 / 3) / np.std([1, 2, 1])
    np.testing.assert_allclose(found.numbers[:, 2], ranks, rtol=1e-6)
    days = np.array([18267.0, 18450, np.nan, 18628])
    scaled = (days - 18358.5) / 91.5
    np.testing.assert_allclose(found.numbers[:, 3], np.nan_to_num(scaled), rtol=1e-5)
    january, july = [0, 1], [0, -1]
    np.testing.assert_allclose(found.numbers[:2, 4:6], [january, july], atol=1e-6)
    monday, tuesday = 0, 2 * np.pi / 7
    np.testing.assert_allclose(found.numbers[:2, 6], np.sin([monday, tuesday]), atol=1e-6)
    assert encoding.columns["colour"].words == ["", "blue", "red"]
    np.testing.assert_array_equal(found.words[:, :3], [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert found.unseen == {"colour": 1, "grade": 1}
    assert found.codes[:, 0].tolist() == [2, 1, 0, 3] and found.codes[:, 1].tolist() == [5, 4, 5, 6]
    assert encoding.places == 7 and found.together.shape == (4, 9 + 5)


def test_encoding_survives_json():
    encoding = Encoding.learn(
        ROWS, np.arange(3), KINDS, MISSING, Scaling(ranks=("lo<hi<top",), clip=2, log_skew=0)
    )
    again = Encoding.from_json(json.loads(json.dumps(encoding.to_json())))
    assert again.to_json() == encoding.to_json()
    np.testing.assert_array_equal(again(ROWS).together, encoding(ROWS).together)


def test_moving_a_column_moves_all_that_it_gives():
    found = Encoding.learn(ROWS, np.arange(4), KINDS, MISSING, Scaling())(ROWS)
    order = np.array([3, 2, 1, 0])
    moved = found.moved("size", order)
    np.testing.assert_array_equal(moved.numbers[:, :2], found.numbers[order, :2])
    np.testing.assert_array_equal(moved.numbers[:, 2:], found.numbers[:, 2:])
    np.testing.assert_array_equal(moved.words, found.words)
    moved = found.moved("colour", order)
    np.testing.assert_array_equal(moved.words[:, :4], found.words[order, :4])
    np.testing.assert_array_equal(moved.codes[:, 0], found.codes[order, 0])
    np.testing.assert_array_equal(moved.numbers, found.numbers)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["yes", "no", "yes"], "classification"),
        (["0", "1", "1"], "classification"),
        (["1", "2", "3", "3"], "classification"),
        (["1.5", "2", "3"], "regression"),
        ([str(i) for i in range(11)], "regression"),
    ],
)
def test_looks_at_the_target(cells, kind):
    assert kind_of(cells) == kind


def test_classes_are_in_order_of_numbers():
    found, _ = find_target(table(y=["10", "9", "10", "1"]), "y", "auto", frozenset(MISSING))
    assert list(found.classes) == ["1", "9", "10"]
    with pytest.raises(ConfigError, match="only one class"):
        find_target(table(y=["a", "a"]), "y", "auto", frozenset(MISSING))


def test_figures_of_regression_and_classification():
    values, predicted = np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 0.5])
    found = regression_figures(values, predicted)
    assert found["rmse"] == pytest.approx(np.sqrt((1 + 12.25) / 3))
    assert found["mae"] == pytest.approx(4.5 / 3)
    assert found["r2"] == pytest.approx(1 - 13.25 / (14 / 3))
    assert found["log_rmse"] == pytest.approx(  # 0.5 counts as 1
        np.sqrt((np.log(2) ** 2 + np.log(4) ** 2) / 3)
    )
    assert "log_rmse" not in regression_figures(np.array([0.0, 1]), np.array([1.0, 1]))
    shares = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1]])
    found = classification_figures(np.array([0, 1, 1, 1]), shares)
    assert found["accuracy"] == 0.75
    assert found["log_loss"] == pytest.approx(-np.log([0.7, 0.3, 0.5, 0.8]).mean())
    assert found["f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_trivial_guesses():
    target, _ = find_target(table(y=["a", "b", "b"]), "y", "auto", frozenset())
    found = trivial(target, np.array([0.0, 1, 1, 1]), np.array([1.0, 0]))
    assert found["accuracy"] == 0.5
    assert found["log_loss"] == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2)


def test_folds_learn_from_their_own_rows_only(tmp_path):
    lines = ["y,x,w", *(f"{i},{i * i},{'ab'[i % 2]}{i // 10}" for i in range(50))]
    data = Csv(path=write(tmp_path, "\n".join(lines)), target="y", rare=1, kind="regression")
    seen = []
    for number_ in range(1, 5):
        fold = data.fold(number_, 4, 3)
        rows, held = fold.rows("train"), fold.rows("valid")
        assert set(rows) | set(held) == set(range(50)) and not set(rows) & set(held)
        seen += list(held)
        assert fold.encoding.columns["x"].mean == pytest.approx((rows.astype(float) ** 2).mean())
        assert fold.target.mean == pytest.approx(rows.mean())
        assert fold.target.sd == pytest.approx(rows.std())
        words = {f"{'ab'[i % 2]}{i // 10}" for i in rows}
        assert set(fold.encoding.columns["w"].words) == words
    assert sorted(seen) == list(range(50))
    assert data.rows("valid").shape == (10,)  # the data set itself is as it was


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("y,x\n1,2\n,3\n4.5,5\n", {}, "line 3: the target 'y' of {path} is missing"),
        (
            "y,x\n" + "".join(f"{i}.5,{i}\n" for i in range(30)) + "7,oops\n",
            {},
            "line 32, column 'x' of {path}: 'oops' is not a number",
        ),
        (
            "y,x\n1,2\nz,3\n4.5,5\n",
            {"kind": "regression"},
            "line 3: the target 'y' of {path} is 'z', which is no number",
        ),
        ("y,x\n1,2\n2,3\n3,3\n", {"target": "Y"}, "{path} has no column 'Y' (dataset.target)"),
        ("y,x\n1,2\n2,3\n3,3\n", {"target": None}, "which column of {path} is to be predicted?"),
        ("y,x\n-1.5,2\n2,3\n3,3\n", {"scale_target": "log"}, "dataset.scale_target=log needs"),
    ],
)
def test_says_what_cannot_be_learned_from(text, options, said, tmp_path):
    path = write(tmp_path, text)
    with pytest.raises((DataError, ConfigError)) as caught:
        Csv(path=path, **{"target": "y", **options}).read()
    assert caught.value.message.startswith(said.format(path=path))


def test_skips_rows_that_cannot_be_learned_from(tmp_path):
    good = "".join(f"{i}.5,{i}\n" for i in range(30))
    path = write(tmp_path, f"y,x\n{good},5\n7,oops\n8\n")
    data = Csv(path=path, target="y", broken="skip")
    data.read()
    assert len(data.table) == 30
    assert sorted(line.split()[1].strip(":,") for line in data.table.skipped) == ["32", "33", "34"]


def test_generated_houses_have_the_noise_that_they_are_said_to_have():
    train, more = generated(2000, 5, noise=0.1, seed=3)
    assert len(train.columns) == 81 and len(more.columns) == 80 and len(more) == 5
    cells = {name: np.array(column, dtype=object) for name, column in train.columns.items()}
    rest = np.log(np.array(train["SalePrice"], float)) - log_price(cells)
    assert np.sqrt((rest**2).mean()) == pytest.approx(0.1, rel=0.05)
    again = generated(2000, 5, noise=0.1, seed=3)[0]
    assert again.columns == train.columns
    assert generated(2000, 5, seed=4)[0].columns != train.columns
