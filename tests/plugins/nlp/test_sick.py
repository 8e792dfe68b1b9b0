"""Data sets of sentence pairs: SICK's folders, CoNLL-U files, the grammar; targets and batches.

Reading of single trees is tested in test_trees.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dope.core.errors import ConfigError, DataError, DopeError
from dope.plugins.nlp.grammar import Grammar
from dope.plugins.nlp.sick import Conllu, PairBatches, Sick, distributions

DATA = Path(__file__).parents[4] / "shared" / "data" / "sick"
FILES = {
    "a.toks": "A man sings\nHe runs\n",
    "b.toks": "She sings\nHe runs\n",
    "a.parents": "2 3 0\n2 0\n",
    "b.parents": "2 0\n2 0\n",
    "sim.txt": "3.6\n5\n",
}


def folder(path, **changed):
    path.mkdir()
    for name, text in FILES.items():
        text = changed.get(name.replace(".", "_"), text)
        if text is not None:
            (path / name).write_text(text, encoding="utf-8")


def block(words, heads, score=None):
    lines = [] if score is None else [f"# similarity = {score}"]
    for number, (word, head) in enumerate(zip(words.split(), heads), 1):
        lines.append("\t".join([str(number), word, *"____", str(head), *"___"]))
    return "\n".join(lines) + "\n\n"


def test_scores_become_distributions_of_that_mean():
    scores = np.array([1, 5, 3.6, 2.25, np.nan])
    target = distributions(scores)
    assert target.dtype == np.float32
    assert target[:4] @ np.arange(1, 6) == pytest.approx(scores[:4])
    assert target.sum(axis=1) == pytest.approx(1)
    assert target[2] == pytest.approx([0, 0, 0.4, 0.6, 0])  # floor(y) - y + 1 and y - floor(y)
    assert target[0].tolist() == [1, 0, 0, 0, 0] and target[1].tolist() == [0, 0, 0, 0, 1]


def test_a_folder_of_sick(tmp_path):
    folder(tmp_path / "train")
    folder(tmp_path / "dev")
    data = Sick(path=tmp_path)
    first, second = data.split("train")
    assert (str(first.left), str(first.right), first.score) == ("a man sings", "she sings", 3.6)
    assert second.score == 5 and data.split("test") is None
    assert len(data.split("valid")) == 2
    assert data.words("train") == {"a", "man", "sings", "she", "he", "runs"}
    assert "She" in Sick(path=tmp_path, lower=False).words("all")
    assert len(Sick(path=tmp_path, train=1).split("train")) == 1


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("sim_txt", "3.6\nx\n", "sim.txt, line 2: 'x' is no score"),
        ("sim_txt", "3.6\n5.5\n", "sim.txt, line 2: '5.5' is no score"),
        ("sim_txt", "3.6\n", "sim.txt ends at line 1"),
        ("b_toks", None, "lacks b.toks"),
        ("b_parents", "2 1\n2 0\n", "b.parents, line 1: it has no root"),
    ],
)
def test_a_bad_folder_names_file_and_line(tmp_path, name, text, message):
    folder(tmp_path / "train", **{name: text})
    with pytest.raises(DataError, match=message):
        Sick(path=tmp_path).split("train")


def test_sentences_without_a_partner(tmp_path):
    folder(tmp_path / "train", b_toks="She sings\n", b_parents="2 0\n")
    with pytest.raises(DataError, match=r"b.toks ends at line 1"):
        Sick(path=tmp_path).split("train")


def test_sick_without_a_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset.path"):
        Sick()
    with pytest.raises(DataError, match=r"no folder .*train"):
        Sick(path=tmp_path).split("train")


def test_conllu_files(tmp_path):
    pair = block("A man sings", [2, 3, 0], 3.5) + block("He runs", [2, 0])
    (tmp_path / "train.conllu").write_text(pair * 3, encoding="utf-8")
    (tmp_path / "dev.conllu").write_text(pair, encoding="utf-8")
    data = Conllu(path=tmp_path)
    assert [p.score for p in data.split("train")] == [3.5] * 3
    assert str(data.split("valid")[0].right) == "he runs"
    single = Conllu(path=tmp_path / "train.conllu", holdout=0.34)
    assert (len(single.split("train")), len(single.split("valid"))) == (2, 1)
    assert Conllu(path=tmp_path / "train.conllu", holdout=0.0).split("valid") is None


def test_bad_conllu_pairs(tmp_path):
    path = tmp_path / "x.conllu"
    path.write_text(block("A b", [0, 1], 3) + block("A", [0]) + block("C", [0]), encoding="utf-8")
    with pytest.raises(DataError, match=r"x.conllu, line 7: a sentence is left over"):
        Conllu(path=path).split("train")
    path.write_text(block("A", [0]) + block("B", [0]), encoding="utf-8")
    with pytest.raises(DataError, match=r"x.conllu, line 1: there is no score.*# similarity = 3.5"):
        Conllu(path=path).split("train")
    with pytest.raises(DataError, match="there is no file"):
        Conllu(path=tmp_path / "none.conllu").split("train")


def test_pairs_from_files_and_texts(tmp_path):
    for name in ("one", "two"):
        text = block(f"{name} sings", [2, 0], 4.5)
        (tmp_path / f"{name}.conllu").write_text(text, encoding="utf-8")
    data = Grammar(pairs=10)
    paths = [str(tmp_path / "one.conllu"), str(tmp_path / "two.conllu")]
    first, second = data.from_inputs([*paths, "A/2 man/0 ||| he/0"])
    assert (str(first.left), str(first.right)) == ("one sings", "two sings")
    assert first.score == 4.5 and np.isnan(second.score)
    assert (str(second.left), str(second.right)) == ("a man", "he")
    with pytest.raises(DopeError, match="'he' is left over"):
        data.from_inputs(["a/0 ||| b/0", "he/0"])


def test_the_grammar_is_the_same_each_time_and_graded():
    one, two, other = Grammar(pairs=400), Grammar(pairs=400), Grammar(pairs=400, seed=1)

    def text(data):
        return [(str(p.left), str(p.right), p.score) for p in data.split("train")]

    assert text(one) == text(two) != text(other)
    scores = np.array([p.score for p in one.split("train")])
    assert len(scores) == 320 and len(one.split("valid")) == 80
    assert scores.min() == 1 and scores.max() == 5 and 0.8 < scores.std() < 2
    assert ((scores > 2) & (scores < 4)).mean() > 0.2


def test_the_grammars_words_alone_do_not_tell_the_score():
    turned = [
        p
        for p in Grammar(pairs=3000, noise=0.0).split("train")
        if sorted(p.left.words) == sorted(p.right.words)
    ]
    assert len({p.score for p in turned}) > 1


def test_batches_cover_each_epoch_once_and_go_on_where_they_stopped():
    batches = PairBatches(Grammar(pairs=50).split("train"), 7, shuffle=True)
    assert len(batches) == 6
    whole = list(batches.epoch(np.random.default_rng(4)))
    assert [len(pairs) for pairs, _ in whole] == [7] * 5 + [5]
    seen = [id(pair) for pairs, _ in whole for pair in pairs]
    assert sorted(seen) == sorted(id(pair) for pair in batches.pairs)
    assert seen != [id(pair) for pair in batches.pairs]
    for pairs, target in whole:
        expected = distributions(np.array([pair.score for pair in pairs]))
        assert np.array_equal(target.asnumpy(), expected)
    rest = list(batches.epoch(np.random.default_rng(4), 4))
    assert [p for pairs, _ in rest for p in pairs] == [p for ps, _ in whole[4:] for p in ps]


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the SICK data beside the project")
def test_sick_itself():
    data = Sick(path=DATA)
    assert (len(data.split("train")), len(data.split("valid"))) == (4500, 500)
    assert len(data.words("train")) == 2173  # sort -u of the words in lower case
    assert max(tree.depth.max() for p in data.split("train") for tree in (p.left, p.right)) == 12
