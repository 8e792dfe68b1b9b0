"""The character language model, from scratch or on fused layers, and its task.

Holds neither the layers' mathematics, that is in cells.py, nor the loop.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Optional

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.core.metrics import Sum
from dope.plugins.nlp.cells import Recurrent, dropping
from dope.plugins.nlp.language import LanguageTask

HUNDREDS = [
    99, 199, 299, 399, 499, 599, 699, 799, 899, 999,
    1099, 1199, 1299, 1399, 1499, 1599, 1699, 1799, 1899, 1999,
]  # fmt: skip


class CharModel(mx.gluon.HybridBlock):
    """Characters to logits of the next one: one-hot or embedded, recurrent layers, a dense layer.

    Parameters
    ----------
    cell
        The recurrent layers: ``rnn`` (tanh), ``lstm`` or ``gru``.
    impl
        ``gluon`` for fused layers, or the same from ``scratch`` on primitive operators. Parameters
        have the same names and meaning in both.
    hidden
        Units of each layer.
    layers
        Number of layers.
    embedding
        Units that a character is embedded in; null takes one-hot vectors.
    dropout
        Share of the values between layers, and before the dense layer, that is dropped.
    weight_drop
        Share of the weights from state to state that is dropped.

    Raises
    ------
    ConfigError
        A number is out of its range.

    Notes
    -----
    Inputs (T, N) and states to logits (N, T, V) and states. The loop over time of ``scratch`` is
    unrolled, for each T anew: the loss of a task is compiled with it, a call of its own is not.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        cell: Literal["rnn", "lstm", "gru"] = "lstm",
        impl: Literal["scratch", "gluon"] = "gluon",
        hidden: int = 256,
        layers: int = 1,
        embedding: Optional[int] = None,
        dropout: float = 0.0,
        weight_drop: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(hidden=hidden, layers=layers, embedding=embedding)
        check_shares(dropout=dropout, weight_drop=weight_drop)
        nn, self.symbols = mx.gluon.nn, len(dataset.vocabulary)
        self.scratch = impl == "scratch"
        self.embedded = nn.Embedding(self.symbols, embedding) if embedding else None
        sizes = [embedding or self.symbols, *[hidden] * layers]
        self.recurrent = Recurrent(cell, sizes, impl, dropout, weight_drop)
        self.drop = dropping(dropout)
        self.decoder = nn.Dense(
            self.symbols,
            in_units=hidden,
            flatten=False,
            weight_initializer=mx.init.Uniform(hidden**-0.5),
        )

    def hybridize(self, active: bool = True, **options: Any) -> None:
        """Compile calls, unless the layers are from scratch: one graph serves one T only."""
        super().hybridize(active and not self.scratch, **options)

    def unroll(self, length: int) -> None:
        """Say how many times the inputs have that are traced next."""
        self.recurrent.unroll(length)

    def begin(self, x: Any) -> list[Any]:
        """States of zeros for inputs (T, N)."""
        return self.recurrent.begin(x)

    def hybrid_forward(self, F: Any, x: Any, states: Any) -> Any:
        """(T, N) and states to logits (N, T, V) and states."""
        if self.embedded is None:
            seen = F.one_hot(x, depth=self.symbols)  # (T, N, V)
        else:
            seen = self.embedded(x)
        outputs, states = self.recurrent(seen, states)  # (T, N, H)
        logits = self.decoder(self.drop(outputs))  # (T, N, V)
        return F.swapaxes(logits, dim1=0, dim2=1), states


class CharLanguageModel(LanguageTask):
    """Predict the next character of a text, and write some.

    Parameters
    ----------
    steps
        Characters of a stream in a batch: as far as backpropagation through time goes.
    streams
        Stretches that held-out text is cut into; 1 reads it as one text, more is faster.
    prefix
        What samples begin with.
    length
        Characters of a sample beyond the prefix; 0 writes no samples.
    temperature
        Logits are divided by it before a character is drawn: below 1 is surer, 0 the likeliest.
    top_k
        Draw among the so many likeliest characters; null draws among all.
    """

    level = "char"
    unit = "characters"
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "nlp.text",
        "model": "nlp.char_lm",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "adam", "learning_rate": 0.003},
        "trainer": {"batch_size": 32, "clip": 1.0},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "task": {"steps": 25, "streams": 4, "length": 300, "temperature": 0.5},
            "model": {"name": "nlp.char_lm", "hidden": 128},
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "trainer": {"epochs": 10, "batch_size": 16, "schedule": "cosine"},
        },
        "book": {
            "dataset": "nlp.time_machine",
            # the book's samples are drawn at 0.1; its rate is halved after each 100 epochs
            "task": {"prefix": "The Time Ma", "temperature": 0.1, "length": 1024},
            "optimizer": {"name": "sgd", "learning_rate": 2.0},
            "trainer": {
                "epochs": 2000,
                "batch_size": 32,
                "clip": 1.0,
                "schedule": "step",
                "decay": 0.5,
                "milestones": HUNDREDS,
            },
        },
        # the book's data and 256 units, held-out text and a budget of 20 epochs
        "tuned": {
            "dataset": "nlp.time_machine",
            "task": {"steps": 20, "temperature": 0.5},
            "model": {"name": "nlp.char_lm", "dropout": 0.3, "weight_drop": 0.2},
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "trainer": {"epochs": 20, "batch_size": 16, "schedule": "cosine", "warmup": 1},
        },
        "tiny": {
            "task": {"steps": 20, "length": 20},
            "model": {"name": "nlp.char_lm", "hidden": 12},
            "dataset": {"name": "nlp.text", "valid": 0.89, "test": 0.02},
            "trainer": {"epochs": 2, "batch_size": 7},
        },
    }

    def __init__(
        self,
        *,
        steps: int = 64,
        streams: int = 1,
        prefix: str = "",
        length: int = 500,
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

    def step(self, engine: Any, batch: Any) -> Mapping[str, Sum]:
        """One step; also in bits per character."""
        found = dict(super().step(engine, batch))
        loss = found["loss"]
        return {**found, "bits_per_char": Sum(loss.total / math.log(2), loss.count)}

    def figures(self, nats: float) -> dict[str, float]:
        """Bits per character, and perplexity: two to their power."""
        return {"bits_per_char": nats / math.log(2), **super().figures(nats)}


def check_sizes(**sizes: Optional[int]) -> None:
    """Refuse sizes below 1."""
    for name, value in sizes.items():
        if value is not None and value < 1:
            raise ConfigError(f"model.{name}={value} is out of range", "It is at least 1.")


def check_shares(**shares: float) -> None:
    """Refuse shares that are not in [0, 1)."""
    for name, value in shares.items():
        if not 0 <= value < 1:
            raise ConfigError(
                f"model.{name}={value} is out of range", "It is at least 0 and below 1."
            )
