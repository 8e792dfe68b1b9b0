"""The grammar of a sweep's values, the points that it means, and which of them are refused.

Holds no runs: those are in test_sweeping.py.
"""

from __future__ import annotations

import math
from collections import Counter

import pytest

from dope.core.errors import ConfigError
from dope.core.plugging.discovery import discover
from dope.core.sweeping.configs import configs
from dope.core.sweeping.points import Range, Values, read, split


@pytest.fixture
def registry(toy, monkeypatch):
    monkeypatch.syspath_prepend(toy.site)
    return discover()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3", ["3"]),
        ("0.1,1e-3", ["0.1", "1e-3"]),
        ("[16],[32, 16]", ["[16]", "[32, 16]"]),
        ("{a: [1, 2], b: 3},null", ["{a: [1, 2], b: 3}", "null"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ('["x,y", z],w', ['["x,y", z]', "w"]),
        ("john's,mary's", ["john's", "mary's"]),
        ("a,", ["a", ""]),
        ("", [""]),
        ("a],b", ["a]", "b"]),
    ],
)
def test_commas_outside_of_brackets_and_quotes_part_values(text, values):
    assert split(text) == values


@pytest.mark.parametrize(
    ("word", "axis"),
    [
        ("a.b=1..5", Range("a.b", 1, 5, True, False)),
        ("a.b=1..100", Range("a.b", 1, 100, True, True)),
        ("a.b=1..100:linear", Range("a.b", 1, 100, True, False)),
        ("a.b=1.0..99", Range("a.b", 1, 99, False, False)),
        ("a.b=1e-4..1e-1", Range("a.b", 1e-4, 1e-1, False, True)),
        ("a.b=0.1..0.5:log", Range("a.b", 0.1, 0.5, False, True)),
        ("a.b=-5..5", Range("a.b", -5, 5, True, False)),
        ("a.b=0..1000", Range("a.b", 0, 1000, True, False)),
        ("a.b=.5..1", Range("a.b", 0.5, 1, False, False)),
        ("a.b=../data", Values("a.b", ("../data",))),
        ("a.b='1..5'", Values("a.b", ("1..5",))),
        ("a.b=x=y,z", Values("a.b", ("x=y", "z"))),
        ("a.b=1,2,1", Values("a.b", ("1", "2"))),
        ("a.b=500 steps", Values("a.b", ("500 steps",))),
        ("optimizer=sgd, adam", Values("optimizer", ("sgd", "adam"))),
    ],
)
def test_values_and_ranges(word, axis):
    assert read([word]).axes == (axis,)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.b"], "not of the form key=value"),
        (["=1"], "not of the form key=value"),
        (["a.b=1", "a.b=2"], "given twice"),
        (["a.b=1,,2"], "a value is empty"),
        (["a.b=1,2..3"], "beside other values"),
        (["a.b=3..1"], "Write a.b=1..3"),
        (["a.b=1..3:cubic"], "'cubic' is no scale"),
        (["a.b=0..3:log"], "begins above 0"),
    ],
)
def test_words_that_cannot_be(words, said):
    with pytest.raises(ConfigError, match=said):
        read(words)


def test_a_grid_has_every_combination_once_the_last_key_fastest():
    space = read(["a.x=1,2", "b=p,q,r", "c.z=7"])
    found = [tuple(point.values()) for point in space.points()]
    assert found == [(x, p, "7") for x in "12" for p in "pqr"] and space.size == 6
    assert [axis.key for axis in space.varied] == ["a.x", "b"]


def test_some_points_of_a_grid_are_drawn_without_repetition():
    space = read(["a.x=" + ",".join(map(str, range(40))), "a.y=1,2,3,4,5"])
    whole = [tuple(point.values()) for point in space.points()]
    some = [tuple(point.values()) for point in space.points(150, seed=3)]
    assert len(set(some)) == 150 and set(some) < set(whole) and some != whole[:150]
    assert [tuple(p.values()) for p in space.points(20, seed=3)] == some[:20]  # extends it
    assert [tuple(p.values()) for p in space.points(20, seed=4)] != some[:20]
    assert sorted(tuple(p.values()) for p in space.points(999)) == sorted(whole)
    huge = read([f"a.k{i}=" + ",".join(map(str, range(1000))) for i in range(6)])
    assert len(huge.points(5)) == 5  # of 10**18
    with pytest.raises(ConfigError, match="--n 100"):
        huge.points()


def test_drawn_points_do_not_depend_on_their_number_nor_on_other_keys():
    words = ["a.x=1e-4..1", "b=p,q", "c.n=2..9"]
    many, few = read(words).points(50, seed=1), read(words).points(10, seed=1)
    assert many[:10] == few and many != read(words).points(50, seed=2)
    assert [p["a.x"] for p in read(words[:1]).points(10, seed=1)] == [p["a.x"] for p in few]
    with pytest.raises(ConfigError, match=r"a\.x, c\.n has a range"):
        read(words).points()
    with pytest.raises(ConfigError, match="--n 0"):
        read(words).points(0)


def test_draws_are_spread_over_the_range():
    found = read(["a.log=1e-4..1", "a.line=0.0..1.0", "a.int=1..4", "a.wide=1..1000", "b=p,q"])
    drawn = found.points(4000)
    decades = Counter(math.floor(math.log10(float(point["a.log"]))) for point in drawn)
    assert set(decades) == {-4, -3, -2, -1} and all(900 < n < 1100 for n in decades.values())
    tenths = Counter(int(10 * float(point["a.line"])) for point in drawn)
    assert set(tenths) == set(range(10)) and all(330 < n < 470 for n in tenths.values())
    ints = Counter(point["a.int"] for point in drawn)
    assert set(ints) == set("1234") and all(900 < n < 1100 for n in ints.values())
    below = sum(int(point["a.wide"]) < 32 for point in drawn) / 4000
    assert below == pytest.approx(math.log(32) / math.log(1001), abs=0.03)
    assert {point["b"] for point in drawn} == {"p", "q"}


def test_draws_stay_in_their_range_with_both_ends_possible():
    for axis in (Range("k", 3, 7, True, True), Range("k", 3, 7, True, False)):
        assert {int(axis.at(i / 1000)) for i in range(1000)} == {3, 4, 5, 6, 7}
    axis = Range("k", 1 / 3, 2 / 3, False, True)
    assert [axis.at(0.0), axis.at(1 - 1e-16)] == ["0.333333", "0.666667"]


def test_configurations_of_all_points(registry):
    space = read(["optimizer=sgd,adam", "model.units=4,8", "trainer.epochs=2"])
    made = configs(registry, "toy.regression", space, space.points(), profile="book")
    names = [(c.part("optimizer"), c.sections["model"]["units"]) for c in made]
    assert names == [("sgd", 4), ("sgd", 8), ("adam", 4), ("adam", 8)]
    assert {c.sections["trainer"]["epochs"] for c in made} == {2}


def test_all_that_is_wrong_is_said_at_once(registry):
    def refused(*words):
        space = read(words)
        with pytest.raises(ConfigError) as error:
            configs(registry, "toy.regression", space, space.points())
        return str(error.value)

    said = refused("model.units=4,many,few", "optimizer=sgd,adm")
    assert said.startswith("5 of 6 points cannot be: ")
    assert "'many'" in said and "no optimizer 'adm'" in said
    assert refused("model.unit=4,8").count("model.unit") < 4  # the same in all: said once
    assert "Did you mean 'units'?" in refused("model.unit=4")


def test_a_list_wants_brackets(registry):
    space = read(["trainer.milestones=1,2", "trainer.schedule=step"])
    with pytest.raises(ConfigError) as error:
        configs(registry, "toy.regression", space, space.points())
    assert "trainer.milestones=[1,2] for one, trainer.milestones=[1],[2]" in str(error.value)
    space = read(["trainer.milestones=[1],[1,2]", "trainer.schedule=step"])
    made = configs(registry, "toy.regression", space, space.points())
    assert [c.sections["trainer"]["milestones"] for c in made] == [[1.0], [1.0, 2.0]]


def test_what_judges_the_points_cannot_vary(registry):
    space = read(["trainer.monitor=loss,valid_loss"])
    with pytest.raises(ConfigError, match=r"trainer\.monitor says which point is best"):
        configs(registry, "toy.regression", space, space.points())
