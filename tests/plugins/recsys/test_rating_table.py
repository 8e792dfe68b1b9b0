"""Ratings from tables: columns and delimiters found or named, broken lines named or counted.

Holds tests on files that are written here.
"""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from dope.core.errors import ConfigError, DataError
from dope.plugins.recsys import lines
from dope.plugins.recsys.table import Table

WHOLE = {"test": 0.0, "valid": 0.0}


@pytest.fixture
def table(tmp_path):
    """A table of this content, all of it for training."""

    def made(content, name="r.csv", **options):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return Table(path=tmp_path / name, **{**WHOLE, **options})

    return made


def rows(data):
    """Ratings as (user, item, rating, time)."""
    train = data.parts["train"]
    times = [None] * len(train.values) if train.times is None else train.times.tolist()
    return [
        (data.users[u], data.items[i], v, t)
        for u, i, v, t in zip(train.users, train.items, train.values.tolist(), times)
    ]


EXPECTED = [("ann", "7", 3.5, 10.0), ("bob", "007", 1.0, 30.0), ("ann", "x y", 5.0, 20.0)]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", "::"])
@pytest.mark.parametrize("header", ["", "userId{0}movieId{0}rating{0}timestamp\n"])
def test_delimiters_and_headers_are_found(table, mark, header):
    body = "".join(f"{u}{mark}{i}{mark}{r}{mark}{int(t)}\r\n" for u, i, r, t in EXPECTED)
    data = table("\ufeff" + header.format(mark) + "\n" + body)
    assert rows(data) == EXPECTED
    assert data.users == ["ann", "bob"] and data.items == ["7", "007", "x y"]
    assert data.scale == (1.0, 5.0) and data.skipped == 0
    train = data.parts["train"]
    kinds = [column.dtype for column in train]
    assert kinds == [np.int32, np.int32, np.float32, np.float64]


def test_columns_are_found_by_name_wherever_they_stand(table):
    text = "when,Book-Rating,comment,ISBN,User-ID\n2020-01-31T12:00:00Z,4,'a; b',01,u1\n"
    data = table(text, time="when")
    assert rows(data) == [("u1", "01", 4.0, 1580472000.0)]  # date -d 2020-01-31T12:00Z +%s


def test_columns_can_be_named_and_numbered(table):
    text = "9,a,x,u\n8,b,y,v\n"
    data = table(text, user="4", item="2", rating="1", header=False)
    assert rows(data) == [("u", "a", 9.0, None), ("v", "b", 8.0, None)]
    data = table("4,a,5,4\n8,b,2,v\n", user="4", item="2")  # a number is no name
    assert rows(data) == [("4", "a", 5.0, None), ("v", "b", 2.0, None)]
    text = "score2,who,thing\n9,a,x\n"
    data = table(text, user="who", item="3", rating="score2")
    assert rows(data) == [("a", "x", 9.0, None)]
    with pytest.raises(DataError, match=r"no column 'whom' \(dataset.user\).*Did you mean 'who'"):
        _ = table(text, user="whom", item="thing", rating="score2").parts
    with pytest.raises(DataError, match="no column for the user; its columns are: score2, a, b"):
        _ = table("score2,a,b\n9,a,x\n").parts
    with pytest.raises(DataError, match=r"no column '5' .*It has 3 columns, without names"):
        _ = table("a,b,3\n", user="5").parts


def test_quoted_cells_and_huge_identifiers(table):
    huge = "9" * 400
    data = table(f'u,i,r\n"{huge}","a ""b"", c",4\n-{huge},é😀,2\n')
    assert rows(data) == [(huge, 'a "b", c', 4.0, None), (f"-{huge}", "é😀", 2.0, None)]


BROKEN = {
    "u,i,\n": "'' is no rating, which is a finite number",
    "u,i,nan\n": "'nan' is no rating",
    "u,i,-inf\n": "'-inf' is no rating",
    "u,i,1e39\n": "'1e39' is no rating",  # too large for float32
    "u,i,1_0\n": "'1_0' is no rating",
    "u,i,four\n": "'four' is no rating",
    "u,i\n": "has 2 cells where 3 are wanted",
    "u,i,4,5\n": "has 4 cells where 3 are wanted",
    " ,i,4\n": "has no user",
    "u,,4\n": "has no item",
    '"u,i,4\n': "is no CSV",
    "caf\u00e9,i,4\n": "not UTF-8 (byte 0xe9)",
    "u\0,i,4\n": "has a zero byte",
    "u" * ((1 << 20) + 1) + ",i,4\n": "longer than 1,048,576 characters",
}


@pytest.mark.parametrize("line", BROKEN, ids=[reason[:20] for reason in BROKEN.values()])
def test_a_broken_line_is_named_or_skipped_and_counted(table, line, tmp_path):
    text = ("user,item,rating\n\na,x,1\n" + line + "b,y,2\n").encode("latin-1")
    with pytest.raises(DataError) as caught:
        _ = table(text).parts
    where = f"{tmp_path / 'r.csv'}, line 4: "
    assert caught.value.message.startswith(where + BROKEN[line])
    assert "dataset.on_error=skip" in caught.value.hint
    data = table(text, on_error="skip")
    assert rows(data) == [("a", "x", 1.0, None), ("b", "y", 2.0, None)]
    assert data.skipped == 1 and data.skipped_lines[0].startswith(where)
    assert data.summary()["skipped_lines"] == 1


def test_a_broken_time_is_named(table):
    text = "user,item,rating,time\na,x,1,2020-01-01\na,y,1,soon\n"
    with pytest.raises(DataError, match="line 3: 'soon' is no time"):
        _ = table(text).parts


def test_endless_lines_do_not_fill_the_memory(table, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK", 1 << 16)
    monkeypatch.setattr(lines, "LONGEST", 1 << 12)
    text = "a,x,1\n" + "z" * 1_000_000 + "\nb,y,2\n" + "z" * 1_000_000
    data = table(text, on_error="skip")
    assert rows(data) == [("a", "x", 1.0, None), ("b", "y", 2.0, None)]
    assert [s.split(": ")[0][-6:] for s in data.skipped_lines] == ["line 2", "line 4"]


def test_blocks_join_without_a_seam(table, monkeypatch):
    text = "".join(f"user{i % 7},item{i},{i % 5},{i}\n" for i in range(2000))
    whole = rows(table(text))
    assert whole[1999] == ("user4", "item1999", 4.0, 1999.0)
    for size in (7, 64, 1001):
        monkeypatch.setattr(lines, "BLOCK", size)
        assert rows(table(text)) == whole
        assert rows(table(gzip.compress(text.encode()), "r.csv.gz")) == whole
    with pytest.raises(DataError, match="line 2001: has 1 cell where 4 are wanted"):
        _ = table(text + "tail").parts


def test_other_encodings_are_read_on_request(table):
    text = "caf\u00e9,i,4\n".encode("cp1252")
    assert rows(table(text, encoding="cp1252")) == [("caf\u00e9", "i", 4.0, None)]
    for name, reason in (
        ("utf-16", "is not made of ASCII"), ("nonsense", "is not known"), ("rot13", "is not known"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=f"dataset.encoding={name} {reason}"):
            table(text, encoding=name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no rating"),
        (b"\n \n", "holds no rating"),
        (b"user,item,rating\n", "holds no rating"),
        (b"PK\x03\x04....", "is a zip archive or an Excel workbook"),
        ("a,b,3".encode("utf-16"), "is UTF-16 text"),
        (gzip.compress(b"a,b,3\n" * 99)[:-9], "is damaged"),
        (b"\x1f\x8bnonsense", "is damaged"),
    ],
)
def test_files_that_hold_no_ratings(table, content, reason):
    with pytest.raises(DataError, match=reason):
        _ = table(content).parts


def test_when_all_is_skipped_it_says_why(table):
    with pytest.raises(DataError, match=r"holds no rating; 2 lines were skipped, .*line 2: has 1"):
        _ = table("user,item,rating\nx\ny\n", on_error="skip").parts


def test_a_missing_file_is_named_with_its_neighbour(table, tmp_path):
    table("a,b,3\n")
    with pytest.raises(ConfigError, match=r"there is no file .*s\.csv.*Did you mean 'r\.csv'"):
        _ = Table(path=tmp_path / "s.csv").parts
    with pytest.raises(ConfigError, match=r"dataset\.path is missing"):
        Table()
    with pytest.raises(DataError, match="cannot be read"):
        _ = Table(path=tmp_path).parts


def test_one_single_rating(table):
    data = table("a,b,3\n", test=0.5, valid=0.4)
    assert rows(data) == [("a", "b", 3.0, None)]
    assert list(data.parts) == ["train"] and data.batches("test", 1) is None
    assert data.scale == (3.0, 3.0)


def test_of_repeated_ratings_one_stays(table):
    text = "a,x,1,30\nb,x,2,5\na,x,5,10\na,x,3,20\na,y,4,0\n"

    def of(**options):
        data = table(text, **options)
        return rows(data), data.repeated

    b, y = ("b", "x", 2.0, 5.0), ("a", "y", 4.0, 0.0)
    assert of() == ([("a", "x", 1.0, 30.0), b, y], 2)  # the latest, not the last in the file
    assert of(duplicates="first") == ([b, ("a", "x", 5.0, 10.0), y], 2)
    assert of(duplicates="mean") == ([("a", "x", 3.0, 30.0), b, y], 2)
    with pytest.raises(DataError, match=r"r\.csv: 2 ratings repeat a user and an item"):
        of(duplicates="stop")
    text = "a,x,1\na,x,2\na,x,4\n"  # without times, by place
    assert of() == ([("a", "x", 4.0, None)], 2)
    assert of(duplicates="first") == ([("a", "x", 1.0, None)], 2)


def test_a_limit_stops_reading(table):
    text = "a,x,1\nb,y,2\nbroken\n"
    assert len(rows(table(text * 9, limit=1))) == 1
    data = table("".join(f"u{i},x,1\n" for i in range(50)), limit=7)
    assert len(rows(data)) == 7 and len(data.users) == 7


def test_titles_come_from_a_file_of_their_own(table, tmp_path):
    (tmp_path / "titles.csv").write_text('item,title\nx,"American President, The (1995)"\n')
    data = table("a,x,1\n", titles=tmp_path / "titles.csv")
    assert data.titles["x"] == "American President, The (1995)"
    (tmp_path / "titles.csv").write_text("x,Ex\ny\n")
    with pytest.raises(DataError, match=r"titles\.csv, line 2: has one cell"):
        _ = table("a,x,1\n", titles=tmp_path / "titles.csv").titles


def test_users_and_items_are_found_by_name(table):
    data = table("ann,x,1\nbob,y,2\n")
    assert data.user_index("bob") == 1 and data.item_index("x") == 0
    with pytest.raises(ConfigError, match=r"no user 'bo' among 2.*Did you mean 'bob'"):
        data.user_index("bo")


@pytest.mark.parametrize(
    "options",
    [
        {"split": "sideways"}, {"test": 1.0}, {"test": -0.1}, {"valid": float("nan")},
        {"test": 0.5, "valid": 0.5}, {"seed": -1}, {"limit": 0}, {"on_error": "ignore"},
        {"duplicates": "all"}, {"delimiter": ""},
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(table, options):
    with pytest.raises(ConfigError, match=r"dataset\."):
        table("a,b,3\n", **options)
