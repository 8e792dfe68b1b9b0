"""What a trained task is asked: options of ``predict`` from words and from Python."""

import pytest

from dope.core.configuring.asking import checked, describe_questions, from_words
from dope.core.errors import ConfigError
from dope.core.plugging.discovery import discover

TASK = "nlp.char_lm"


@pytest.fixture(scope="module")
def registry():
    return discover()


@pytest.mark.parametrize(
    ("words", "options", "others"),
    [
        ([], {}, []),
        (["--prefix", "The Time"], {"prefix": "The Time"}, []),
        (["--prefix=a=b", "--length", "3"], {"prefix": "a=b", "length": 3}, []),
        (["--prefix", "5", "--top-k", "5"], {"prefix": "5", "top_k": 5}, []),
        (["--prefix", "-x"], {"prefix": "-x"}, []),
        (["--prefix", "--x"], {"prefix": "--x"}, []),
        (["--prefix", ""], {"prefix": ""}, []),
        (["--temperature", "null"], {"temperature": None}, []),
        (["task.length=3"], {}, ["task.length=3"]),
        (
            ["--input", "a", "b", "task.length=3", "c", "--length", "4", "task.streams=2"],
            {"inputs": ["a", "b", "c"], "length": 4},
            ["task.length=3", "task.streams=2"],
        ),
        (["--input", "a=b", "--input=c"], {"inputs": ["a=b", "c"]}, []),
        (["lost", "--length", "4", "word"], {"length": 4}, ["lost", "word"]),
    ],
)
def test_words_are_read_as_options_and_what_else_there_is(registry, words, options, others):
    assert from_words(registry, TASK, words) == (options, others)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lenght", "3"], "--lenght"),
        (["--length"], "--length is given no value"),
        (["--length", "--prefix", "x"], "--length is given no value"),
        (["--length", "many"], "--length many: expected int"),
        (["--inputs", "x"], "Did you mean '--input'"),
    ],
)
def test_what_is_no_option_is_refused_by_name(registry, words, said):
    with pytest.raises(ConfigError) as caught:
        from_words(registry, TASK, words)
    assert said in str(caught.value)


def test_options_from_python_are_checked_like_words(registry):
    given = {"prefix": "x", "inputs": ["a"], "temperature": 1}
    found = checked(registry, TASK, given)
    assert found["prefix"] == "x" and list(found["inputs"]) == ["a"] and found["temperature"] == 1.0
    for wrong in ({"length": "3"}, {"input": ["a"]}, {"nothing": 1}):
        with pytest.raises(ConfigError):
            checked(registry, TASK, wrong)


def test_every_task_says_what_its_options_mean(registry):
    for entry in registry.entries("task"):
        for row in describe_questions(registry, entry.name):
            assert row.key.startswith("--") and row.meaning, f"{entry.name} {row.key}"
    assert [row.key for row in describe_questions(registry, "vision.cnn")] == ["--input"]


def test_a_task_without_options_says_so(registry):
    with pytest.raises(ConfigError, match="none of its own"):
        from_words(registry, "timeseries.issm", ["--input", "x"])
