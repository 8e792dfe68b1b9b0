"""Language models: carried states, figures, samples, dropout and penalties, and what is refused.

Holds whole models and runs; layers are in test_cells.py, texts in test_text.py.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from dope.core import api
from dope.core.backend import mx, nd, seed, use_threads
from dope.core.configuring.options import TrainerOptions
from dope.core.engine import Engine
from dope.core.errors import ConfigError, DataError
from dope.core.training import checkpoint
from dope.plugins.losses.losses import SoftmaxCrossEntropy
from dope.plugins.nlp.char_lm import CharLanguageModel, CharModel
from dope.plugins.nlp.sampling import draw, following
from dope.plugins.nlp.text import Text
from dope.plugins.nlp.word_lm import WordLanguageModel, WordModel, _changes

SHARED = Path(os.environ.get("DOPE_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
TWO = [mx.cpu(0), mx.cpu(1)]
TEXT = "the cat sat on the mat, and the rat sat on the cat. " * 6


@pytest.fixture(autouse=True)
def one_thread():
    use_threads(1)
    yield
    use_threads(None)


def made(
    tmp_path, task=CharLanguageModel, model=CharModel, batch=4, valid=0.3, text=TEXT, **options
):
    """A task with its text read, and its network."""
    model_options = options.pop("model_options", {"hidden": 8})
    path = tmp_path / "text.txt"
    path.write_text(text)
    one = task(**{"steps": 7, **options})
    one.dataset = Text(path=str(path), valid=valid)
    one.criterion = SoftmaxCrossEntropy()
    one.options = TrainerOptions(batch_size=batch, clip=1.0)
    one.optimizer = {"name": "sgd", "learning_rate": 0.5}
    one.parts = {}
    one.prepare()
    seed(1)
    return one, model(one.dataset, **model_options)


def engine_of(task, net, contexts=TWO[:1], rate=None, **options):
    if rate is not None:
        task.optimizer = {"name": "sgd", "learning_rate": rate}
    return Engine(net, task.groups(net), contexts, batch_axis=task.batch_axis, **options)


def in_numpy(net, ids):
    """-log p of each character of a text but the first, by one call and NumPy's softmax."""
    x = nd.array(ids[:-1].reshape(-1, 1))
    logits = net(x, net.begin(x))[0].asnumpy()[0].astype(float)  # (n - 1, V)
    logits -= logits.max(axis=1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -logs[np.arange(len(ids) - 1), ids[1:].astype(int)]


@pytest.mark.parametrize("hybridize", [True, False])
@pytest.mark.parametrize("contexts", [1, 2])
@pytest.mark.parametrize("impl", ["gluon", "scratch"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_states_go_on_within_an_epoch_and_never_beyond(cell, impl, contexts, hybridize, tmp_path):
    task, net = made(tmp_path, model_options={"hidden": 8, "cell": cell, "impl": impl})
    engine = engine_of(task, net, TWO[:contexts], rate=0.0, hybridize=hybridize)
    batches = task.data("train")
    epochs = []
    for _ in range(2):
        engine.start_epoch()
        epochs.append([task.step(engine, batch)["loss"] for batch in batches])
    assert engine.carries
    losses = np.array([[each.mean() for each in epoch] for epoch in epochs])
    np.testing.assert_array_equal(losses[0], losses[1])
    # each stream as one text of its own, in one call
    streams = np.concatenate([x.asnumpy() for x, _ in batches]).T
    last = np.concatenate([y.asnumpy() for _, y in batches])[-1]
    alone = np.array([in_numpy(net, np.append(s, e)) for s, e in zip(streams, last)])
    wanted = [alone[:, i : i + task.steps].mean() for i in range(0, alone.shape[1], task.steps)]
    assert len(wanted) == len(batches) and alone.shape[1] % task.steps  # the last is shorter
    np.testing.assert_allclose(losses[0], wanted, rtol=1e-5)
    total = epochs[0][0]
    for each in epochs[0][1:]:
        total = total + each
    assert total.count == alone.size and math.isclose(total.mean(), alone.mean(), rel_tol=1e-5)


def test_scratch_learns_what_fused_does(tmp_path):
    for cell in ("rnn", "lstm", "gru"):
        ends, begin = [], None
        for impl in ("gluon", "scratch"):
            options = {"hidden": 8, "cell": cell, "impl": impl, "layers": 2, "embedding": 5}
            task, net = made(tmp_path, model_options=options)
            engine = engine_of(task, net)
            if begin is not None:
                engine.networks.restore(begin)
            begin = engine.networks.state()
            for batch in task.data("train"):
                task.step(engine, batch)
            ends.append(engine.networks.state())
        assert ends[0].keys() == ends[1].keys()
        for key, value in ends[0].items():
            assert np.abs(value - begin[key]).max() > 1e-5, key
            np.testing.assert_allclose(ends[1][key], value, rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("contexts", [1, 2])
def test_perplexity_is_that_of_numpy_whatever_the_batches(contexts, tmp_path):
    figures = []
    for batch, steps in ((4, 7), (3, 7), (5, 20)):
        task, net = made(tmp_path, batch=batch, steps=steps)
        engine = engine_of(task, net, TWO[:contexts])
        task.step(engine, next(iter(task.data("train"))))  # states of training do not matter
        engine.networks.restore(made_state(tmp_path))
        figures.append(task.evaluate(engine))
        alone = in_numpy(net, task.dataset.ids("valid"))
    for found in figures:
        assert math.isclose(found["valid_loss"], alone.mean(), rel_tol=1e-6)
        assert math.isclose(found["valid_perplexity"], math.exp(alone.mean()), rel_tol=1e-5)
        bits = -np.log2(np.exp(-alone)).mean()
        assert math.isclose(found["valid_bits_per_char"], bits, rel_tol=1e-5)
    assert set(figures[0]) == {"valid_loss", "valid_perplexity", "valid_bits_per_char"}


def made_state(tmp_path):
    task, net = made(tmp_path)
    return engine_of(task, net).networks.state()


@pytest.mark.parametrize("contexts", [1, 2])
def test_streams_of_held_out_text_begin_afresh_and_count_once(contexts, tmp_path):
    task, net = made(tmp_path, streams=4)
    engine = engine_of(task, net, TWO[:contexts])
    ids = task.dataset.ids("valid")
    length = -(-(len(ids) - 1) // 4)
    parts = [ids[i : i + length + 1] for i in range(0, len(ids) - 1, length)]
    alone = np.concatenate([in_numpy(net, part) for part in parts])
    assert len(parts) == 4 and len(alone) == len(ids) - 1 and len(alone) % 4
    assert math.isclose(task.nats(engine, ids), alone.mean(), rel_tol=1e-6)


def test_held_out_text_changes_neither_states_nor_learning(tmp_path):
    def learned(look):
        task, net = made(tmp_path)
        engine = engine_of(task, net)
        for batch in task.data("train"):
            task.step(engine, batch)
            if look:
                task.evaluate(engine)
        return engine.networks.state()

    one, other = learned(False), learned(True)
    for key, value in one.items():
        np.testing.assert_array_equal(other[key], value, err_msg=key)


def test_drawing_follows_the_shares():
    logits = np.array([1.0, 3.0, -1.0, 2.0, -60.0])
    rng = np.random.default_rng(0)
    for temperature, top_k in ((1.0, None), (0.5, None), (2.0, 3), (1.0, 1), (0.0, None)):
        drawn = np.bincount([draw(logits, rng, temperature, top_k) for _ in range(4000)], None, 5)
        if temperature == 0 or top_k == 1:
            wanted = np.eye(5)[1]
        else:
            wanted = np.exp(logits / temperature)
            wanted[np.argsort(-logits)[top_k:] if top_k else []] = 0
            wanted /= wanted.sum()
        assert np.abs(drawn / 4000 - wanted).max() < 0.03, (temperature, top_k)


def test_sampling_carries_states_on(tmp_path):
    task, net = made(tmp_path)
    engine_of(task, net)
    ids = list(task.dataset.encode("the c"))
    drawn = following(net, task.dataset.encode("the c"), np.random.default_rng(0), 0.0)
    for _ in range(12):
        x = nd.array(np.array(ids).reshape(-1, 1))
        ids.append(int(net(x, net.begin(x))[0][0, -1].asnumpy().argmax()))  # from the beginning
        assert next(drawn) == ids[-1]


def test_what_is_never_drawn(tmp_path):
    task, net = made(tmp_path)
    engine_of(task, net)
    begin, some = task.dataset.encode("the c"), [0, 3, 5]
    drawn = following(net, begin, np.random.default_rng(0), 1.0, None, some)
    seen = {next(drawn) for _ in range(300)}
    assert seen == set(range(len(task.dataset.vocabulary))) - set(some)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return api.run(
        "nlp.char_lm",
        profile="tiny",
        runs=tmp_path_factory.mktemp("runs"),
        task={"prefix": "Alice", "length": 30},
    )


def test_a_run_samples_each_epoch_and_writes_on_request(run):
    files = sorted((run.path / "samples").iterdir())
    assert [f.name for f in files] == ["epoch-0001.txt", "epoch-0002.txt"]
    assert all(len(f.read_text()) == 36 and f.read_text().startswith("Alice") for f in files)
    rows = run.predict(inputs=["The Time", "É"], task={"length": 50, "temperature": 0.5})["rows"]
    assert [row["prefix"] for row in rows] == ["The Time", "É"]
    assert rows[0]["text"].startswith("The Time") and len(rows[0]["text"]) == 58
    assert run.predict(inputs=["The Time"], task={"length": 50, "temperature": 0.5}) == {
        "rows": rows[:1]
    }
    surest = [run.predict(task={"temperature": t, "top_k": k}) for t, k in ((0.0, None), (1.0, 1))]
    assert surest[0] == surest[1] != run.predict()
    assert len(run.predict(task={"prefix": "", "length": 9})["rows"][0]["text"]) == 9


def test_figures_are_of_all_characters(run):
    (*_, row) = run.history
    assert math.isclose(row["bits_per_char"], row["loss"] / math.log(2), rel_tol=1e-6)
    for part in ("valid", "test"):
        assert math.isclose(row[f"{part}_perplexity"], 2 ** row[f"{part}_bits_per_char"])
    batches = run.task.data("train")
    assert run.result["steps"] == 2 * len(batches)
    saved, _ = checkpoint.latest(run.directory.checkpoints)
    assert saved.meta["examples"] == 2 * batches.length * batches.streams


def test_words(tmp_path):
    pytest.importorskip("gluonnlp")
    run = api.run("nlp.word_lm", profile="tiny", runs=tmp_path, trainer={"epochs": 3})
    rows = run.history
    best = min(rows, key=lambda row: row["valid_loss"])
    assert run.metrics["best_epoch"] == best["epoch"]
    assert run.metrics["best_test_perplexity"] == best["test_perplexity"]
    again = run.evaluate(best=True)
    assert math.isclose(again["test_perplexity"], best["test_perplexity"], rel_tol=1e-6)
    alone = in_numpy(run.nets, run.task.dataset.ids("test"))
    found = run.evaluate(task={"streams": 1})
    assert math.isclose(found["test_loss"], alone.mean(), rel_tol=1e-5)
    (row,) = run.predict(inputs=["Alice was"], task={"length": 5})["rows"]
    assert row["text"].startswith("Alice was")


@pytest.mark.parametrize("cell", ["rnn_relu", "rnn_tanh", "lstm", "gru"])
@pytest.mark.parametrize("tied", [True, False])
def test_word_models_learn_a_text(cell, tied, tmp_path):
    pytest.importorskip("gluonnlp")
    sizes = {"embedding": 12, "hidden": 16, "layers": 2, "dropout": 0.0}
    task, net = made(
        tmp_path,
        WordLanguageModel,
        WordModel,
        text=TEXT * 6,
        model_options={**sizes, "cell": cell, "tied": tied},
    )
    words = len(task.dataset.vocabulary)
    task.optimizer = {"name": "adam", "learning_rate": 0.01}
    engine = engine_of(task, net)
    names = [name for name, _ in engine.networks.named()]
    assert ("net.decoder_weight" in names) is not tied
    x = nd.zeros((7, 4))
    logits, _, _, whole = net(x, net.begin(x))
    assert logits.shape == (4, 7, words) and whole.shape == (4, 7, 12 if tied else 16)
    before = task.evaluate(engine)["valid_perplexity"]
    for _ in range(6):
        engine.start_epoch()
        for batch in task.data("train"):
            task.step(engine, batch)
    after = task.evaluate(engine)["valid_perplexity"]
    assert before > 0.5 * words and after < 0.7 * before, (before, after)


def test_penalties_are_means_of_squares(tmp_path):
    pytest.importorskip("gluonnlp")
    outputs = np.random.default_rng(0).normal(size=(3, 5, 4))
    task = WordLanguageModel(alpha=2.0, beta=3.0)
    for steps in (5, 1):  # a last batch of one word has no change
        h = outputs[:, :steps]
        found = task.penalty([nd.array(2 * h), nd.array(h)]).asnumpy()
        change = (np.diff(h, axis=1) ** 2).sum(axis=(1, 2)) / (steps * 4)
        wanted = 2 * (4 * h**2).mean(axis=(1, 2)) + 3 * change
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        assert _changes(nd.array(h)).shape == h.shape
    assert WordLanguageModel().penalty([nd.array(outputs)] * 2) is None
    sizes = {"embedding": 12, "hidden": 16, "dropout": 0.3, "weight_drop": 0.3, "locked": True}
    awd = {**sizes, "tied": True, "drop_embedding": 0.1}
    options = {"alpha": 2.0, "beta": 1.0, "model_options": awd}
    task, net = made(tmp_path, WordLanguageModel, WordModel, **options)
    engine = engine_of(task, net)
    for batch in task.data("train"):
        found = task.step(engine, batch)
        assert found["loss"].mean() > found["nats"].mean() > 0


@pytest.mark.parametrize(
    "options, said",
    [
        ({"steps": 0}, "task.steps=0"),
        ({"streams": 0}, "task.streams=0"),
        ({"temperature": -1.0}, "task.temperature=-1.0"),
        ({"top_k": 0}, "task.top_k=0"),
        ({"length": -1}, "task.length=-1"),
    ],
)
def test_options_out_of_range_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        CharLanguageModel(**options)
    with pytest.raises(ConfigError, match=said):
        WordLanguageModel(**options)


@pytest.mark.parametrize("options", [{"hidden": 0}, {"layers": 0}, {"dropout": 1.0}])
def test_models_out_of_range_are_refused(options, tmp_path):
    for kind in (CharModel, WordModel):
        with pytest.raises(ConfigError, match=rf"model\.{next(iter(options))}="):
            made(tmp_path, model=kind, model_options=options)


def test_a_text_too_short_and_images_are_refused(tmp_path):
    task, _ = made(tmp_path)
    task.options = TrainerOptions(batch_size=1000)
    with pytest.raises(DataError, match=r"characters; a batch of 1000 streams of 7 needs 7001"):
        task.data("train")
    with pytest.raises(ConfigError, match=r"vision\.digits holds no text"):
        api.run("nlp.char_lm", dataset="vision.digits", runs=tmp_path)


def test_resumed_with_a_plateau_the_rate_is_where_it_was(tmp_path):
    run = api.run(
        "nlp.char_lm",
        profile="tiny",
        runs=tmp_path,
        optimizer={"learning_rate": 0.0001},
        trainer={"epochs": 2, "plateau": 0.5, "monitor": "valid_perplexity", "mode": "max"},
    )
    rates = [row["rate"] for row in run.history]
    again = api.resume(run.path, overrides=["trainer.epochs=4"])
    assert rates == [1.0, 1.0]
    assert [row["rate"] for row in again.history] == [1.0, 1.0, 0.5, 0.25]
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["rate"] == 0.25
