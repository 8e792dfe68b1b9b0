"""The word language model with its kinds of dropout, and its task.

Holds neither the recurrent layers, that is cells.py, nor the vocabulary, that is text.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Optional

from dope.core.backend import mx
from dope.core.rundir import RunDirectory
from dope.plugins.nlp.cells import Recurrent, dropping
from dope.plugins.nlp.char_lm import check_shares, check_sizes
from dope.plugins.nlp.decoding import entropy
from dope.plugins.nlp.language import LanguageTask, insist


class WordModel(mx.gluon.HybridBlock):
    """Words to logits of the next one: embedded, recurrent layers, a dense layer.

    Parameters
    ----------
    cell
        The recurrent layers: ``rnn_relu``, ``rnn_tanh``, ``lstm`` or ``gru``.
    embedding
        Units that a word is embedded in.
    hidden
        Units of each layer; with ``tied``, the last one has ``embedding`` units.
    layers
        Number of layers.
    tied
        Whether the dense layer's weights are those of the embedding.
    dropout
        Share of the values before the dense layer that is dropped; and behind the embedding and
        between layers, where the next two say nothing.
    drop_input
        Share of the embedded values that is dropped; null is ``dropout``.
    drop_hidden
        Share of the values between layers that is dropped; null is ``dropout``.
    drop_embedding
        Share of the words whose whole embedding is dropped.
    weight_drop
        Share of the weights from state to state that is dropped.
    locked
        Whether dropout drops the same units at all times of a batch (variational dropout).

    Raises
    ------
    ConfigError
        A number is out of its range.

    Notes
    -----
    Inputs (T, N) and states to logits (N, T, V), states, and the last layer's outputs (N, T, H)
    behind dropout and before it. Called with targets (T, N) too, it gives each stream's
    cross-entropy (N) in place of the logits. The last four options are those of AWD-LSTM, as
    gluonnlp has them: Merity et al., "Regularizing and Optimizing LSTM Language Models" (2017),
    section 4.
    """

    scores = True  # takes targets

    def __init__(
        self,
        dataset: Any,
        *,
        cell: Literal["rnn_relu", "rnn_tanh", "lstm", "gru"] = "lstm",
        embedding: int = 200,
        hidden: int = 200,
        layers: int = 2,
        tied: bool = False,
        dropout: float = 0.2,
        drop_input: Optional[float] = None,
        drop_hidden: Optional[float] = None,
        drop_embedding: float = 0.0,
        weight_drop: float = 0.0,
        locked: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(embedding=embedding, hidden=hidden, layers=layers)
        within = dropout if drop_hidden is None else drop_hidden
        begin = dropout if drop_input is None else drop_input
        check_shares(dropout=dropout, drop_input=begin, drop_hidden=within)
        check_shares(drop_embedding=drop_embedding, weight_drop=weight_drop)
        self.words, self.units = len(dataset.vocabulary), embedding
        self.drop_embedding = drop_embedding
        sizes = [embedding, *[hidden] * layers]
        if tied:
            sizes[-1] = embedding
        self.recurrent = Recurrent(cell, sizes, "gluon", within, weight_drop, locked)
        self.drop_in = dropping(begin, (0,) if locked else ())
        self.drop_out = dropping(dropout, (0,) if locked else ())
        uniform = mx.init.Uniform(0.1)
        make, last = self.params.get, sizes[-1]
        self.embedding_weight = make(
            "embedding_weight", shape=(self.words, embedding), init=uniform
        )
        self.decoder_bias = make("decoder_bias", shape=(self.words,), init="zeros")
        if not tied:
            self.decoder_weight = make("decoder_weight", shape=(self.words, last), init=uniform)

    def begin(self, x: Any) -> list[Any]:
        """States of zeros for inputs (T, N)."""
        return self.recurrent.begin(x)

    def hybrid_forward(
        self,
        F: Any,
        x: Any,
        states: Any,
        targets: Any = None,
        *,
        embedding_weight: Any,
        decoder_bias: Any,
        decoder_weight: Any = None,
    ) -> Any:
        """(T, N), states to logits (N, T, V) or losses (N), states, outputs (N, T, H) twice."""
        weight = embedding_weight
        if self.drop_embedding:
            weight = F.Dropout(weight, p=self.drop_embedding, axes=(1,))
        seen = F.Embedding(x, weight, input_dim=self.words, output_dim=self.units)  # (T, N, E)
        outputs, states = self.recurrent(self.drop_in(seen), states)  # (T, N, H)
        dropped = self.drop_out(outputs)
        weight = embedding_weight if decoder_weight is None else decoder_weight
        streams = [F.swapaxes(each, dim1=0, dim2=1) for each in (dropped, outputs)]
        if targets is not None:
            shape = self.words, self.recurrent.sizes[-1]
            return entropy(F, dropped, targets, weight, decoder_bias, shape), states, *streams
        given = {"num_hidden": self.words, "flatten": False}
        return F.FullyConnected(streams[0], weight, decoder_bias, **given), states, *streams


class WordLanguageModel(LanguageTask):
    """Predict the next word of a text, and write some.

    Lines end with a word of their own, ``<eos>``. The logged training loss includes what ``alpha``
    and ``beta`` add; ``nats`` is without. The best epoch's figures are reported at the end.

    Parameters
    ----------
    steps
        Words of a stream in a batch: as far as backpropagation through time goes.
    streams
        Stretches that held-out text is cut into; 1 reads it as one text, more is faster.
    lower
        Write all letters small.
    least
        Times that a word must occur in the training text to be known; others are ``<unk>``.
    most
        Largest number of known words, the most frequent; null knows all.
    alpha
        Weight of the mean square of the last layer's outputs, behind dropout (AR).
    beta
        Weight of the mean square of their change from word to word, before dropout (TAR).
    prefix
        What samples begin with.
    length
        Words of a sample beyond the prefix; 0 writes no samples.
    temperature
        Logits are divided by it before a word is drawn: below 1 is surer, 0 the likeliest.
    top_k
        Draw among the so many likeliest words; null draws among all.

    Notes
    -----
    AR and TAR: Merity et al., "Revisiting Activation Regularization for Language RNNs" (2017).
    TAR is a mean over all words of a batch, of which the first has no change.
    """

    level = "word"
    unit = "words"
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "nlp.text",
        "model": "nlp.word_lm",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 20.0},
        "trainer": {"batch_size": 32, "clip": 0.25, "plateau": 0.25},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "task": {"steps": 16, "lower": True, "least": 2, "streams": 1, "temperature": 0.7},
            "model": {
                "name": "nlp.word_lm",
                "embedding": 96,
                "hidden": 96,
                "layers": 1,
                "tied": True,
                "dropout": 0.5,
            },
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "trainer": {"epochs": 25, "batch_size": 8},
        },
        "book": {
            "dataset": "nlp.ptb",
            "task": {"steps": 5},
            "model": {
                "name": "nlp.word_lm",
                "cell": "rnn_relu",
                "embedding": 100,
                "hidden": 100,
                "tied": True,
            },
            # the book adds up the losses of its 5 steps, where dope has their mean
            "optimizer": {"name": "sgd", "learning_rate": 5.0},
            "trainer": {"epochs": 1, "clip": 0.2},
        },
        "tiny": {
            "task": {"steps": 9, "length": 8, "least": 2},
            "model": {"name": "nlp.word_lm", "embedding": 6, "hidden": 7, "tied": True},
            "dataset": {"name": "nlp.text", "valid": 0.89, "test": 0.02},
            "optimizer": {"name": "sgd", "learning_rate": 2.0},
            "trainer": {"epochs": 2, "batch_size": 7},
        },
    }
    contract: ClassVar[Mapping[str, Any]] = {
        "contexts": {"model": {"dropout": 0.0}},
        "hybrid": {"model": {"dropout": 0.0}},
    }

    def __init__(
        self,
        *,
        steps: int = 35,
        streams: int = 10,
        lower: bool = False,
        least: int = 1,
        most: Optional[int] = None,
        alpha: float = 0.0,
        beta: float = 0.0,
        prefix: str = "",
        length: int = 100,
        temperature: float = 1.0,
        top_k: Optional[int] = None,
    ) -> None:
        super().__init__(
            steps=steps,
            streams=streams,
            prefix=prefix,
            length=length,
            temperature=temperature,
            top_k=top_k,
        )
        self.lower, self.least, self.most = lower, least, most
        self.alpha, self.beta = alpha, beta
        insist(least >= 1, "least", least, "at least 1")
        insist(most is None or most >= 1, "most", most, "at least 1")
        for name, value in {"alpha": alpha, "beta": beta}.items():
            insist(value >= 0, name, value, "at least 0")

    def number(self) -> None:
        """Number the words of the data set."""
        self.dataset.number("word", lower=self.lower, least=self.least, most=self.most)

    def penalty(self, rest: Sequence[Any]) -> Any:
        """AR and TAR of each stream, (N)."""
        terms = []
        if self.alpha and rest:
            terms.append(self.alpha * rest[0].square().mean(axis=(1, 2)))
        if self.beta and len(rest) > 1:
            terms.append(self.beta * _changes(rest[1]).square().mean(axis=(1, 2)))
        return sum(terms[1:], terms[0]) if terms else None

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Figures of the epoch with the best validation, whose checkpoint is kept as ``best``."""
        rows = [row for row in run.metrics() if row.get("valid_loss") is not None]
        if not rows:
            return {}
        best = min(rows, key=lambda row: row["valid_loss"])
        names = [f"{part}_perplexity" for part in ("valid", "test")]
        found = {f"best_{name}": best[name] for name in names if name in best}
        return {"best_epoch": best["epoch"], **found}


def _changes(outputs: Any) -> Any:
    """(N, T, H) less what was one step before it; 0 at the first step."""
    F = mx.nd if isinstance(outputs, mx.nd.NDArray) else mx.sym
    whole = F.expand_dims(outputs, axis=1)  # (N, 1, T, H): pad takes four axes
    padded = F.pad(whole, mode="edge", pad_width=(0, 0, 0, 0, 1, 0, 0, 0))
    return F.reshape(whole - F.slice_axis(padded, axis=2, begin=0, end=-1), shape=(0, -3, 0))
