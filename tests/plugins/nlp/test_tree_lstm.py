"""The Tree-LSTM: batched by depth against recursion, PyTorch and NumPy; its scores; learning.

Reading of trees is tested in test_trees.py, data sets in test_sick.py.
"""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import pytest

import dope
from dope.core.backend import mx, nd
from dope.core.data import split
from dope.core.errors import ConfigError, DataError
from dope.core.task import parameters
from dope.plugins.losses.losses import KL
from dope.plugins.nlp import tree_lstm
from dope.plugins.nlp.grammar import Grammar
from dope.plugins.nlp.sick import Pair, distributions
from dope.plugins.nlp.similarity import pearson, ranks, spearman
from dope.plugins.nlp.tree_lstm import TreeLSTM
from dope.plugins.nlp.trees import make_tree

SICK = Path(__file__).parents[4] / "shared" / "data" / "sick"
HERE = (mx.cpu(0),)
ALPHABET = [f"w{i}" for i in range(30)]

# python golden.py in an environment with PyTorch 2.13, float64: the recursion written out on the
# parameters sin(first), sin(first + 1), ... with first = 1 to 9 in this order
PAIRS = [
    (("a b c d a", [2, 0, 2, 3, 2]), ("b", [0])),
    (("d c b", [0, 1, 2]), ("a a d c", [4, 4, 4, 0])),
]
SCORES = [4.6, 1.75]
LOGITS = [
    [0.6218404, 0.2968867, -2.3090202, 0.3337975, 0.5913729],
    [0.4665694, 0.37269, -2.2528459, 0.1845582, 0.7302972],
]
LOSSES = [0.7120006, 0.9024225]
GRADS = {  # norm, and inner product with cos(0), cos(1), ...
    "embedding": [0.0740295, -0.0487044],
    "weight": [0.0819547, -0.0312428],
    "bias": [0.0521508, -0.0224347],
    "sum_weight": [0.0171499, 0.0095105],
    "forget_weight": [0.0065387, 0.0017851],
    "head.inner.weight": [0.0769929, 0.1019556],
    "head.inner.bias": [0.1946784, 0.262303],
    "head.outer.weight": [0.5174771, -0.1720052],
    "head.outer.bias": [0.4272192, 0.09763],
}


def data(words):
    return types.SimpleNamespace(words=lambda part: set(words), classes=tuple("12345"))


def made(words=ALPHABET, contexts=HERE, hybridize=True, seed=1, **options):
    mx.random.seed(seed)
    np.random.seed(seed)
    net = TreeLSTM(
        data(words), **{"hidden": 7, "similarity": 4, "dim": 6, "spread": 1.0, **options}
    )
    if hybridize:
        net.hybridize(static_alloc=True, static_shape=True)
    net.initialize(ctx=list(contexts))
    return net


def random_tree(rng, n, form):
    if form == "chain":
        heads = [0, *range(1, n)]
    elif form == "star":
        heads = [0] + [1] * (n - 1)
    else:
        heads = [0] + [int(rng.integers(1, i + 1)) for i in range(1, n)]
    order = rng.permutation(n)  # word i stands at place order[i]
    moved = [0] * n
    for i, head in enumerate(heads):
        moved[order[i]] = int(order[head - 1]) + 1 if head else 0
    words = [ALPHABET[k] if k < 30 else "unseen" for k in rng.integers(0, 31, n)]
    return make_tree(words, moved)


def random_pairs(count, seed=3):
    rng = np.random.default_rng(seed)
    forms = ["chain", "star", "random", "random"]
    trees = [random_tree(rng, int(rng.integers(1, 16)), forms[i % 4]) for i in range(2 * count)]
    trees[:3] = [random_tree(rng, 1, "chain"), random_tree(rng, 1, "chain"), trees[2]]
    scores = np.round(rng.uniform(1, 5, count), 1)
    return [Pair(a, b, float(s)) for a, b, s in zip(trees[::2], trees[1::2], scores)]


def learned(net, pairs, contexts=HERE):
    """Logits, and the gradients of the summed loss, added up over contexts."""
    target = nd.array(distributions(np.array([pair.score for pair in pairs])))
    criterion, outputs = KL(), []
    with mx.autograd.record():
        losses = []
        for shard, true in split((pairs, target), contexts):
            outputs.append(net(shard, true.context))
            losses.append(criterion(outputs[-1], true))
    mx.autograd.backward(losses)
    grads = {
        key: sum(grad.asnumpy() for grad in p.list_grad()) for key, p in parameters(net).items()
    }
    return np.concatenate([out.asnumpy() for out in outputs]), grads


def close(found, expected):
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


@pytest.fixture(scope="module")
def recursion():
    """200 random trees, and what recursion on one context makes of them."""
    pairs = random_pairs(100)
    return pairs, *learned(made(batching="off", hybridize=False), pairs)


@pytest.mark.parametrize("contexts", [1, 2])
@pytest.mark.parametrize("hybridize", [True, False])
@pytest.mark.parametrize("host", [True, False])
def test_batched_equals_recursion_on_200_random_trees(
    contexts, hybridize, host, recursion, monkeypatch
):
    assert tree_lstm.synchronous(mx.cpu(0))
    monkeypatch.setattr(tree_lstm, "synchronous", lambda context: host)
    places = [mx.cpu(i) for i in range(contexts)]
    pairs, expected, expected_grads = recursion
    by_depth = made(contexts=places, hybridize=hybridize)
    assert sum(len(p.left) == 1 for p in pairs) > 3 and max(p.left.depth.max() for p in pairs) > 9
    logits, grads = learned(by_depth, pairs, places)
    close(logits, expected)
    assert grads.keys() == expected_grads.keys() and len(grads) == 9
    for key, grad in grads.items():
        assert np.abs(expected_grads[key]).max() > 1e-3, key
        close(grad, expected_grads[key])


@pytest.mark.parametrize("batching, host", [("depth", True), ("depth", False), ("off", True)])
def test_outputs_and_gradients_are_those_of_pytorch(batching, host, monkeypatch):
    monkeypatch.setattr(tree_lstm, "synchronous", lambda context: host)
    net = made("abcd", hidden=3, similarity=4, dim=5, batching=batching)
    for first, p in enumerate((parameters(net)[key] for key in GRADS), 1):
        p.set_data(nd.array(np.sin(np.arange(first, first + np.prod(p.shape))).reshape(p.shape)))
    trees = [[make_tree(text.split(), heads) for text, heads in pair] for pair in PAIRS]
    pairs = [Pair(*both, score) for both, score in zip(trees, SCORES)]
    logits, grads = learned(net, pairs)
    assert logits == pytest.approx(np.array(LOGITS), abs=2e-6)
    for key, (norm, inner) in GRADS.items():
        grad = grads[key].astype(float)
        assert np.linalg.norm(grad) == pytest.approx(norm, abs=2e-6), key
        along = np.cos(np.arange(grad.size)).reshape(grad.shape)
        assert (grad * along).sum() == pytest.approx(inner, abs=4e-6), key
    losses = KL()(nd.array(logits), nd.array(distributions(np.array(SCORES))))
    assert losses.asnumpy() == pytest.approx(np.array(LOSSES), abs=1e-5)


def test_a_pair_does_not_depend_on_the_others(monkeypatch):
    pairs, net = random_pairs(90), made()
    whole = net(pairs, mx.cpu(0)).asnumpy()
    alone = np.concatenate([net([pair], mx.cpu(0)).asnumpy() for pair in pairs])
    close(whole, alone)
    monkeypatch.setattr(tree_lstm, "TOGETHER", 7)
    close(net(pairs, mx.cpu(0)).asnumpy(), whole)


@pytest.mark.parametrize("host", [True, False])
def test_single_words_only(host, monkeypatch):
    monkeypatch.setattr(tree_lstm, "synchronous", lambda context: host)
    pairs = [Pair(make_tree([a], [0]), make_tree(["w1"], [0]), 3.0) for a in ALPHABET[:4]]
    logits, grads = learned(made(), pairs)
    expected, expected_grads = learned(made(batching="off"), pairs)
    close(logits, expected)
    for key, grad in grads.items():
        close(grad, expected_grads[key])
    assert not grads["sum_weight"].any() and grads["weight"].any()


def test_a_sentence_deeper_than_pythons_stack():
    chain = make_tree(["w3"] * 1200, list(range(1200)))
    pairs = [Pair(chain, make_tree(["w4"], [0]))]
    close(*(made(batching=form)(pairs, mx.cpu(0)).asnumpy() for form in ("depth", "off")))


def test_dropout_draws_in_training_only_and_not_a_frozen_embedding():
    pairs, net = random_pairs(5), made(dropout=0.5, head_dropout=0.5, frozen=True)
    assert np.array_equal(*(net(pairs, mx.cpu(0)).asnumpy() for _ in range(2)))
    with mx.autograd.record():
        one, two = (net(pairs, mx.cpu(0)).asnumpy() for _ in range(2))
    assert (one != two).any()
    assert parameters(net)["embedding"].grad_req == "null"


@pytest.mark.parametrize(
    "options", [{"hidden": 0}, {"dropout": 1.0}, {"spread": -1.0}, {"embedding_rate": float("nan")}]
)
def test_options_out_of_range(options):
    with pytest.raises(ConfigError, match=f"model.{next(iter(options))}="):
        made(**options)


def test_vectors_from_a_file(tmp_path):
    pytest.importorskip("gluonnlp")
    file = tmp_path / "glove.txt"
    lines = ["w1 1 2 3", "unrelated 9 9 9", "w2 -1 0.5 1e-2", "new 0 0 3"]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = data(["w1", "w2", "w3"])
    source.words = lambda part: {"w1", "w2", "w3"} | ({"new"} if part == "all" else set())
    net = TreeLSTM(source, hidden=3, similarity=2, embedding=file, frozen=True, spread=0.01)
    net.initialize()
    values = parameters(net)["embedding"].data().asnumpy()
    assert values.shape == (5, 3) and "unrelated" not in net.index
    assert values[net.index["w1"]].tolist() == [1, 2, 3]
    assert values[net.index["w2"]] == pytest.approx([-1, 0.5, 0.01])
    assert values[net.index["new"]].tolist() == [0, 0, 3]
    assert values[0] == pytest.approx([0, 2.5 / 3, 6.01 / 3])  # the unknown word: their mean
    assert 0 < np.abs(values[net.index["w3"]]).max() <= 0.01


@pytest.mark.parametrize(
    "text, reason", [("x 1 2\n", "none of the"), ("w1 1 2\nw2 1\n", "numbers"), ("w1 a b\n", "'a'")]
)
def test_bad_vectors_are_refused(tmp_path, text, reason):
    pytest.importorskip("gluonnlp")
    file = tmp_path / "bad.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"bad.txt.*{reason}"):
        made(embedding=file)


def test_without_gluonnlp_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gluonnlp.embedding", None)
    monkeypatch.setitem(__import__("sys").modules, "gluonnlp", None)
    with pytest.raises(ConfigError, match=r"pip install 'dope\[nlp\]'"):
        made(embedding=tmp_path / "x.txt")


def test_correlations_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    y = np.round(x + rng.normal(size=300), 1)  # with ties
    assert ranks(y) == pytest.approx(stats.rankdata(y))
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-12)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-12)
    assert pearson(np.ones(3), np.arange(3.0)) == 0


def test_the_generated_pairs_are_learned(tmp_path):
    run = dope.run(
        "nlp.tree_lstm",
        runs=tmp_path,
        dataset={"name": "nlp.grammar", "pairs": 800},
        model={"name": "nlp.tree_lstm", "hidden": 32, "dim": 32},
        trainer={"epochs": 4},
    )
    assert run.metrics["valid_pearson"] > 0.65
    assert run.metrics["valid_mse"] < 1.2
    assert (run.path / "plots" / "similarity.png").is_file()
    again = run.evaluate(trainer={"batch_size": 7})
    for key, value in again.items():
        assert value == pytest.approx(run.metrics[key], rel=1e-5)
    rows = run.predict()["rows"]
    found = [[row["predicted"], row["true"]] for row in rows]
    assert pearson(*np.array(found).T) == pytest.approx(run.metrics["valid_pearson"], abs=1e-6)
    (row,) = run.predict(inputs=["the/2 man/3 sings/0 ||| the/2 man/3 sings/0"])["rows"]
    assert row["left"] == "the man sings" and 1 <= row["predicted"] <= 5 and "true" not in row


def test_word_vectors_learn_at_their_own_rate(tmp_path):
    common = {"runs": tmp_path, "profile": "tiny", "trainer": {"epochs": 1}}
    sgd = {"name": "sgd", "learning_rate": 0.1}
    size = {"name": "nlp.tree_lstm", "hidden": 4, "dim": 3}
    nets = [
        dope.run(
            "nlp.tree_lstm", **common, optimizer=sgd, model={**size, "embedding_rate": rate}
        ).nets
        for rate in (0.0, 1.0)
    ]
    start = made(sorted(Grammar(pairs=60).words("train")), hidden=4, dim=3, spread=0.05)
    still, moved = (parameters(net)["embedding"].data().asnumpy() for net in nets)
    assert still.shape == parameters(start)["embedding"].shape
    assert np.abs(still).max() <= 0.05 and (still != moved).any()


@pytest.mark.slow
@pytest.mark.skipif(not SICK.is_dir(), reason="needs the SICK data beside the project")
def test_sick_reaches_the_correlation_that_is_promised(tmp_path):
    run = dope.run(
        "nlp.tree_lstm",
        runs=tmp_path,
        dataset={"name": "nlp.sick", "path": str(SICK)},
        model={"name": "nlp.tree_lstm", "hidden": 150, "dim": 300},  # as in the paper
        trainer={"epochs": 12},
    )
    assert max(row["valid_pearson"] for row in run.history) >= 0.73
