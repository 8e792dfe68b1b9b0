"""Reading and checking of trees: heads, CoNLL-U and one-line text; and their levels.

The networks on them are tested in test_tree_lstm.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.errors import DataError, DopeError
from dope.plugins.nlp.forest import plant, sums
from dope.plugins.nlp.trees import Malformed, from_text, make_tree, read_conllu, read_heads

CONLLU = """# sent_id = 1
# similarity = 3.5
1-2\tdunno\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tVERB\t_\t_\t0\troot\t_\t_
2\tn't\tnot\tPART\t_\t_\t1\tadvmod\t_\t_
2.1\tit\tit\tPRON\t_\t_\t_\t_\t_\t_
3\tNew York\t_\tPROPN\t_\t_\t1\tobj\t_\t_


1\tyes\t_\tINTJ\t_\t_\t0\troot\t_\t_"""


def files(folder, tokens, heads):
    paths = folder / "a.toks", folder / "a.parents"
    for path, text in zip(paths, (tokens, heads)):
        path.write_text(text, encoding="utf-8")
    return paths


def test_depths_and_children_of_a_sentence():
    tree = make_tree(["the", "old", "man", "sings", "loudly"], [3, 3, 4, 0, 4])
    assert tree.heads.tolist() == [2, 2, 3, -1, 3]
    assert tree.depth.tolist() == [2, 2, 1, 0, 1]
    assert tree.children() == [[], [], [0, 1], [2, 4], []]
    assert str(tree) == "the old man sings loudly" and len(tree) == 5


@pytest.mark.parametrize(
    "heads, reason",
    [
        ([], "3 words and 0 heads"),
        ([2, 0], "3 words and 2 heads"),
        ([2, 0, 4], "the head of word 3 is 4, and there are 3 words"),
        ([2, 0, -1], "the head of word 3 is -1"),
        ([0, 1, 0], "2 roots, words 1 and 3"),
        ([2, 3, 1], "no root"),
        ([0, 3, 2], "circle: word 2"),
        ([0, 2, 1], "circle: word 2"),  # its own head
    ],
)
def test_what_is_no_tree_is_refused(heads, reason):
    with pytest.raises(Malformed, match=reason):
        make_tree(["a", "b", "c"], heads)


def test_a_very_long_chain_is_a_tree():
    n = 5000
    assert make_tree(["w"] * n, list(range(n))).depth.tolist() == list(range(n))


def test_heads_are_read_line_by_line(tmp_path):
    tokens, heads = files(tmp_path, "A Man sings\na\u00a0b \u2028 c\n", "2 3 0\n2 0 1\n")
    first, second = read_heads(tokens, heads, lower=True)
    assert first.words == ("a", "man", "sings")
    assert second.words == ("a\u00a0b", "\u2028", "c")  # neither ends a word or a line
    assert read_heads(tokens, heads)[0].words[1] == "Man"


@pytest.mark.parametrize(
    "text, where",
    [
        ("2 0\n1 0\n", r"a.parents, line 2: it has 3 words and 2 heads"),
        ("2 0\n2 3 1\n", r"a.parents, line 2: it has no root"),
        ("2 0\n0 0 1\n", r"a.parents, line 2: it has 2 roots"),
        ("2 0\n0 1 9\n", r"a.parents, line 2: the head of word 3 is 9"),
        ("2 x\n0 1 1\n", r"a.parents, line 1: head 'x' is not a whole number"),
        ("2 0\n", r"a.parents ends at line 1"),
        ("2 0\n0 1 1\n0\n", r"a.toks ends at line 2"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, where):
    with pytest.raises(DataError, match=where):
        read_heads(*files(tmp_path, "a b\nc d e\n", text))


def test_bytes_that_are_no_utf8_are_named(tmp_path):
    tokens, heads = files(tmp_path, "a\n", "0\n")
    tokens.write_bytes(b"a\nb \xff\n")
    with pytest.raises(DataError, match=r"a.toks, line 2: not UTF-8"):
        read_heads(tokens, heads)


def test_conllu(tmp_path):
    path = tmp_path / "x.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    first, second = read_conllu(path)
    assert first.tree.words == ("Do", "n't", "New York")
    assert first.tree.heads.tolist() == [-1, 0, 0]
    assert first.comments["similarity"] == "3.5" and first.line == 1
    assert second.tree.words == ("yes",) and second.line == 10


@pytest.mark.parametrize(
    "old, new, where",
    [
        ("3\tNew York", "4\tNew York", "line 7: ID is '4' where 3 is expected"),
        ("1\tadvmod", "x\tadvmod", "line 5: head 'x' is not a whole number"),
        ("New York\t", "New York ", "line 7: it has 9 columns"),
        ("1\tobj", "3\tobj", "line 1: the sentence that begins here: .* circle: word 3"),
        ("0\troot\t_\t_\n2\t", "3\troot\t_\t_\n2\t", "line 1: .* no root"),
    ],
)
def test_bad_conllu_is_named(tmp_path, old, new, where):
    path = tmp_path / "x.conllu"
    assert CONLLU.count(old) == 1
    path.write_text(CONLLU.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=f"x.conllu, {where}"):
        read_conllu(path)


def test_text_with_heads():
    one, two = from_text("A/2 man/3 sings/0 ||| and/or/0", lower=True)
    assert one.words == ("a", "man", "sings") and one.heads.tolist() == [1, 2, -1]
    assert two.words == ("and/or",)


@pytest.mark.parametrize("text", ["a man/0", "a/2 man/2", "a/x", "a/0 |||", "/0"])
def test_text_that_is_no_tree_is_refused(text):
    with pytest.raises(DopeError, match="sentence '"):
        from_text(text)


def test_levels_of_three_trees():
    trees = [
        make_tree(["a", "b", "c", "d"], [2, 0, 2, 3]),
        make_tree(["e"], [0]),
        make_tree(["a", "z"], [0, 1]),
    ]
    index = {word: number for number, word in enumerate("abcde", 1)}
    forest = plant(trees, index, 0)
    # Each word once, those with children first; z is unknown; zeros fill up
    assert forest.words[:6].tolist() == [1, 2, 3, 0, 4, 5] and forest.tall == 3
    assert len(forest.words) == 32 and not forest.words[6:].any()
    assert forest.high.tolist() == [2, 1, 0]  # c, b and the a of the last tree
    assert forest.low.tolist() == [0, 3, 4, 5]  # a, z, d and e
    assert forest.leaves.tolist() == [2, 0, 1]  # d below c, a below b, z below a
    assert forest.heads.tolist() == [0, 1, 2]
    deep, top = forest.levels
    assert (deep.begin, deep.end, deep.first, deep.last) == (0, 1, 0, 1)
    assert (top.begin, top.end, top.first, top.last) == (1, 3, 1, 3)
    assert deep.heads.tolist() == [] and top.heads.tolist() == [0]  # c below b
    assert forest.order.tolist() == [0, 5, 1]  # two roots with children, then low: e is its last
    assert np.array_equal(sums([0, 0, 2], 3), [[1, 1, 0], [0, 0, 0], [0, 0, 1]])
