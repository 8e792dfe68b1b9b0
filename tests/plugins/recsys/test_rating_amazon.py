"""Amazon's reviews: JSON and Python's notation, parsed and never evaluated.

Holds tests on lines that are written here; ast.literal_eval is the judge of Python's notation.
"""

from __future__ import annotations

import ast
import gzip
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dope.core.errors import ConfigError, DataError
from dope.plugins.recsys.amazon import Amazon, parsed, review
from dope.plugins.recsys.lines import BadLine

ENTRY = {  # of the form that the book prints
    "asin": "616719923X",
    "helpful": [0, 0],
    "overall": 4.0,
    "reviewText": 'It\'s "good"\n… True, None',
    "reviewerID": "A1VEELTKS8NLZB",
    "unixReviewTime": 1370044800,
}
READ = ("A1VEELTKS8NLZB", "616719923X", 4.0, 1370044800.0)
NEW = {"user_id": "U", "parent_asin": "P", "asin": "C", "rating": 2, "timestamp": 1588687728923}


@pytest.mark.parametrize("write", [json.dumps, repr, ascii])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_both_notations_plain_and_gzip(tmp_path, write, pack):
    other = {**ENTRY, "reviewerID": 7, "overall": "1"}
    file = tmp_path / "reviews.json"
    file.write_bytes(pack(f"{write(ENTRY)}\n\n{write(other)}\n{write(NEW)}\n".encode()))
    data = Amazon(path=file, test=0, valid=0)
    train = data.parts["train"]
    assert data.users == ["A1VEELTKS8NLZB", "7", "U"] and data.items == ["616719923X", "P"]
    assert train.users.tolist() == [0, 1, 2] and train.items.tolist() == [0, 0, 1]
    assert train.values.tolist() == [4.0, 1.0, 2.0]
    assert train.times.tolist() == [1370044800.0, 1370044800.0, 1588687728.923]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=9), values, max_size=5))
def test_what_python_prints_is_read_as_python_means_it(entry):
    for text in (repr(entry), ascii(entry)):
        assert parsed(text) == ast.literal_eval(text) == entry


@given(st.text(alphabet="'\"\\{}[]:,ntxu0918 TrueNone.eE+-", max_size=60))
def test_what_is_read_is_never_more_than_a_literal(text):
    try:
        found = parsed(text)
    except BadLine:
        return
    assert isinstance(found, dict)


@pytest.mark.parametrize(
    "line",
    [
        "{'overall': __import__('os').system('true')}",
        "{'overall': 1+1}",
        "{'a': (1, 2)}",
        "{'a': {1, 2}}",
        "[1, 2]",
        "5",
        "",
        "{'a': '\\U99999999'}",
        "{'a': 'open}",
        "{" * 100_000,
        "[" * 500_000,
        "'\\" * 300_000,
        "'" * 500_001,
        "-" * 900_000 + "1",
    ],
)
def test_no_review_is_refused_and_soon(line):
    began = time.process_time()
    with pytest.raises(BadLine, match="no review in JSON"):
        parsed(line)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"overall": None}, "has no overall"),
        ({"overall": "many"}, "overall is 'many', not a finite number"),
        ({"overall": float("nan")}, "overall is 'nan', not a finite number"),
        ({"overall": 1e39}, "overall is '1e+39'"),
        ({"overall": True}, "overall is 'True'"),
        ({"overall": [5]}, r"overall is '\[5\]'"),
        ({"reviewerID": ""}, "has no reviewerID"),
        ({"reviewerID": None}, "has no reviewerID"),
        ({"asin": {"a": 1}}, "asin is"),
        ({"asin": "\ud800"}, "which is no text"),
        ({"unixReviewTime": "soon"}, "unixReviewTime is 'soon', not a time"),
    ],
)
def test_reasons(change, reason):
    with pytest.raises(BadLine, match=reason.replace("+", r"\+")):
        review(json.dumps({**ENTRY, **change}))


def test_a_missing_time_is_unknown_unless_it_is_needed(tmp_path):
    short = {key: value for key, value in ENTRY.items() if key != "unixReviewTime"}
    file = tmp_path / "r.json"
    file.write_text(
        "\n".join(json.dumps({**e, "asin": n}) for n, e in enumerate([ENTRY, short, short]))
    )
    assert len(Amazon(path=file, test=0, valid=0).parts["train"].times) == 3
    with pytest.raises(ConfigError, match=r"split=time goes by times, but 2 ratings have none"):
        _ = Amazon(path=file, split="time").parts
    file.write_text(json.dumps(short))
    assert Amazon(path=file).parts["train"].times is None


def test_broken_lines_are_named_or_counted(tmp_path):
    file = tmp_path / "r.json"
    file.write_text(f"{json.dumps(ENTRY)}\n{{'oops\n{{}}\n")
    with pytest.raises(DataError, match=r"r\.json, line 2: is no review in JSON: \"{'oops\""):
        _ = Amazon(path=file).parts
    data = Amazon(path=file, on_error="skip")
    assert len(data.parts["train"].values) == 1 and data.skipped == 2
    assert data.skipped_lines[1].endswith("line 3: has no user_id")


def test_titles_come_from_the_products_file(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(ENTRY))
    products = [{"asin": "616719923X", "title": " Kit\n Kat "}, {"asin": "other", "title": "No"}]
    (tmp_path / "meta.json").write_text("\n".join(map(repr, products)) + "\n{'asin': 'untitled'}\n")
    data = Amazon(path=tmp_path / "r.json", titles=tmp_path / "meta.json")
    assert data.titles == {"616719923X": "Kit Kat"}


def test_a_path_is_needed():
    with pytest.raises(ConfigError, match=r"dataset\.path is missing"):
        Amazon()
