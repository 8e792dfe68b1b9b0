"""Texts: what is read, cut and numbered, how it becomes batches, and what is refused.

Holds no networks.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from dope.core.errors import ConfigError, DataError
from dope.plugins.nlp.batching import PADDING, Streams, held_out
from dope.plugins.nlp.text import (
    END,
    SHIPPED,
    UNKNOWN,
    PennTreebank,
    Text,
    TimeMachine,
    WikiText2,
    novel,
)

SHARED = Path(os.environ.get("DOPE_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")


def written(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def numbered(data, level="char", **options):
    data.number(level, **options)
    return data


def test_what_ships_is_what_its_page_says():
    raw = SHIPPED.read_bytes()
    page = (SHIPPED.parent / "README.md").read_text()
    assert hashlib.sha256(raw).hexdigest() in page and f"{len(raw):,} bytes" in page
    data = numbered(Text())
    assert data.texts["train"].startswith("CHAPTER I. Down the Rabbit-Hole\n\nAlice was beginning")
    whole = data.texts["train"] + data.texts["valid"]
    assert whole.encode("ascii") == raw and len(data.texts["valid"]) == round(len(raw) * 0.1)


def test_parts_are_the_end_of_the_text_or_files(tmp_path):
    a = written(tmp_path / "a.txt", "\ufeffabc\r\ndef\r")
    b = written(tmp_path / "b.txt", "0123456789" * 2)
    data = numbered(Text(path=[b, a], valid=0.25, test=0.125))
    whole = "0123456789" * 2 + "abc\ndef\n"
    assert data.texts == {"train": whole[:17], "valid": whole[17:24], "test": whole[24:]}
    folder = numbered(Text(path=str(tmp_path), valid=0.0))
    assert folder.texts == {"train": "abc\ndef\n" + "0123456789" * 2}
    assert folder.ids("valid") is None
    three = numbered(Text(path=b, valid=a, test=written(tmp_path / "c.md", "xyz")))
    assert three.texts == {"train": "0123456789" * 2, "valid": "abc\ndef\n", "test": "xyz"}


def test_characters_are_numbered_by_the_training_text(tmp_path):
    data = numbered(Text(path=written(tmp_path / "a.txt", "ab ba\nzz"), valid=0.25))
    assert data.vocabulary == ["\n", " ", "a", "b"]
    np.testing.assert_array_equal(data.ids("train"), [2, 3, 1, 3, 2, 0])
    np.testing.assert_array_equal(data.ids("valid"), [1, 1])  # unseen: as a blank
    assert data.decode(data.ids("train")) == "ab ba\n" and data.ids("train").dtype == np.float32
    assert numbered(Text(path=data.path, valid=0.0), lower=True).decode([0, 1]) == "\n "


def test_words_are_the_most_frequent_first_and_lines_end_with_one(tmp_path):
    pytest.importorskip("gluonnlp")
    assert numbered(Text(), "word").units("he--she (it) said") == [
        *("he", "--", "she", "(", "it", ")", "said", END)
    ]
    text = "The cat, the dog.\nThe cat's well-known _end_\n"
    data = numbered(Text(path=written(tmp_path / "a.txt", text), valid=0.0), "word")
    units = ["The", "cat", ",", "the", "dog", ".", END, "The", "cat's", "well", "-", "known"]
    assert data.units(text) == [*units, "_", "end", "_", END]
    assert data.vocabulary[0] == UNKNOWN and set(data.vocabulary[1:]) == set(data.units(text))
    assert data.decode(data.encode("The cat, the cat's dog.\nnew")) == (
        "The cat, the cat's dog.\n<unk>"
    )
    prose = Text(path=written(tmp_path / "b.txt", "a (b) c -- d--e, f\n--g"), valid=0.0)
    assert numbered(prose, "word").decode(prose.ids("train")) == "a (b) c--d--e, f\n--g\n"
    prose = Text(path=written(tmp_path / "c.txt", "'I,' he said, \"won't.\"\n'No'"), valid=0.0)
    assert numbered(prose, "word").decode(prose.ids("train")) == (
        "'I,' he said, \"won't.\"\n'No'\n"
    )
    assert data.decode(data.encode("cat"), "The zebra's,") == "The zebra's, cat"
    assert data.decode([], "") == "" and data.decode(data.encode("dog.")) == "dog."
    few = numbered(Text(path=data.path, valid=0.0), "word", lower=True, least=2)
    assert few.vocabulary == [UNKNOWN, END, "the", "_"]  # gluonnlp puts reserved words first
    assert (few.ids("train") == 0).sum() == 9
    one = numbered(Text(path=data.path, valid=0.0), "word", lower=True, most=1)
    assert one.vocabulary == [UNKNOWN, END, "the"]


def test_corpora_are_cut_by_blanks_alone(tmp_path):
    pytest.importorskip("gluonnlp")
    for kind in (PennTreebank, WikiText2):
        for name, text in zip(kind.files, (" a b <unk> N\n\n c's \n", "b zz\n", "a\n")):
            written(tmp_path / name, text)
        data = numbered(kind(path=tmp_path), "word")
        assert data.units(data.texts["train"]) == ["a", "b", UNKNOWN, "N", END, END, "c's", END]
        np.testing.assert_array_equal(data.ids("valid")[1], data.ids("train")[2])  # unknown
        assert data.decode(data.encode("a b , N")) == "a b <unk> N"


def test_the_novel_is_what_stands_between_the_marks():
    begin = "legal\n*** START OF THIS BOOK ***\n\n\nCall me\nthat.\n\n"
    text = begin + "{}*** END OF THIS BOOK ***\nmore\n"
    assert novel(text.format("")) == "Call me\nthat.\n"
    assert novel(text.format("End of Project Gutenberg's Book\n\n")) == "Call me\nthat.\n"
    assert novel("no marks\n") == "no marks\n"


def test_the_time_machine():
    path = SHARED / "text" / "timemachine.txt"
    if not path.is_file():
        pytest.skip("needs ../shared/data/text")
    data = numbered(TimeMachine(path=str(path)))
    whole = data.texts["train"] + data.texts["valid"]
    assert whole.startswith("The Time Machine, by H. G. Wells [1898]")
    assert whole.endswith("a mutual tenderness still lived on in the heart\nof man.\n")
    assert "Gutenberg" not in whole and len(data.vocabulary) < 77


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "a.txt is empty"),
        (b" \n\t\n", "a.txt holds nothing but blanks"),
        (b"fine\nna\xefve\n", "a.txt line 2: byte 0xef is not UTF-8"),
        (b"\xff\xfea\x00", "a.txt line 1: byte 0xff is not UTF-8"),
        (b"a\nb\0c", "a.txt line 2: a zero byte"),
    ],
)
def test_what_is_no_text_is_refused_by_name(content, said, tmp_path):
    with pytest.raises(DataError, match=re.escape(said)) as caught:
        numbered(Text(path=written(tmp_path / "a.txt", content)))
    assert ("iconv" in caught.value.hint) == ("UTF-8" in said)
    assert ("utf-16" in caught.value.hint) == (content[:2] == b"\xff\xfe")


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.txt cannot be read: No such file"):
        numbered(Text(path="nowhere.txt"))
    with pytest.raises(DataError, match=r"has no \.txt files"):
        numbered(Text(path=str(tmp_path)))
    written(tmp_path / "ptb.train.txt", "a")
    with pytest.raises(DataError, match=r"lacks ptb\.valid\.txt, ptb\.test\.txt") as caught:
        numbered(PennTreebank(path=tmp_path), "word")
    assert "simple-examples.tgz" in caught.value.hint
    with pytest.raises(DataError, match=r"dataset\.path is not given"):
        numbered(WikiText2(), "word")
    with pytest.raises(DataError, match="does not ship") as caught:
        numbered(TimeMachine())
    assert "gutenberg.org/ebooks/35" in caught.value.hint


@pytest.mark.parametrize("shares", [(-0.1, 0.0), (0.5, 0.5), (1.0, 0.0)])
def test_shares_that_leave_nothing_are_refused(shares):
    with pytest.raises(ConfigError, match="out of range"):
        Text(valid=shares[0], test=shares[1])


def test_without_gluonnlp_characters_work_and_words_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "gluonnlp", None)
    assert numbered(Text()).ids("train") is not None
    with pytest.raises(ConfigError) as caught:
        numbered(Text(), "word")
    assert caught.value.hint == "Run: pip install 'dope[nlp]'"


def test_batches_go_on_where_the_last_one_ended():
    ids = np.arange(24, dtype=np.float32)  # 23 pairs: 3 streams of 7, and 2 left over
    streams = Streams(ids, 3, 3)
    batches = [(x.asnumpy(), y.asnumpy()) for x, y in streams]
    assert [x.shape for x, _ in batches] == [(3, 3), (3, 3), (1, 3)] and len(streams) == 3
    inputs = np.concatenate([x for x, _ in batches])
    np.testing.assert_array_equal(inputs.T, np.arange(21).reshape(3, 7))
    for x, y in batches:
        np.testing.assert_array_equal(y, x + 1)
    for skip in range(4):
        rest = [x.asnumpy() for x, _ in streams.epoch(None, skip)]
        assert len(rest) == 3 - skip
        for a, (b, _) in zip(rest, batches[skip:]):
            np.testing.assert_array_equal(a, b)


def test_a_text_shorter_than_a_batch_is_refused():
    assert len(Streams(np.zeros(13), 3, 4)) == 1
    with pytest.raises(DataError, match="has 12 words; a batch of 3 streams of 4 needs 13"):
        Streams(np.zeros(12), 3, 4, "words")


@pytest.mark.parametrize("streams", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("steps", [1, 4, 100])
def test_held_out_text_is_a_target_once(streams, steps):
    ids = np.arange(24, dtype=np.float32)
    pairs = []
    for x, y in held_out(ids, streams, steps):
        assert x.shape == y.shape and x.shape[0] <= steps
        x, y = x.asnumpy(), y.asnumpy()
        pairs += [(a, b) for a, b in zip(x.ravel(), y.ravel()) if b != PADDING]
    assert sorted(pairs) == [(i, i + 1) for i in range(23)]
