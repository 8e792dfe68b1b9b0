"""The book's ways to train a language model, written from its description; does not import dope.

Characters from scratch, an imperative operator at a time; words by imperative Gluon; the loss read
back at each batch; MXNet with the engine and the threads that it chooses by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from clock import answer, arguments, rate
from corpora import CASES, LEARNING_RATE, Case, batches_of

np.bool = bool  # MXNet 1.9.1 asks for it

import mxnet as mx  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402


class Characters:
    """One-hot characters, gates one by one, the softmax and its logarithm written out."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.loss = case, 0.0
        eye = np.eye(case.symbols, dtype="float32")
        self.batches = [tuple(nd.array(eye[e]) for e in pair) for pair in batches_of(folder, case)]
        gates = "gifo" if case.cell == "lstm" else "zrh"
        rows = {"x": case.symbols, "h": case.hidden}

        def drawn(*shape: int) -> Any:
            made = nd.random_normal(shape=shape) * 0.01
            made.attach_grad()
            return made

        self.weights = {a + g: drawn(n, case.hidden) for a, n in rows.items() for g in gates}
        self.weights |= {"b" + g: drawn(case.hidden) for g in gates}
        self.weights |= {"out": drawn(case.hidden, case.symbols), "b": drawn(case.symbols)}

    @property
    def parameters(self) -> int:
        """The book has one bias a gate; the fused layers' second one is counted in."""
        gates = 4 if self.case.cell == "lstm" else 3
        return sum(w.size for w in self.weights.values()) + gates * self.case.hidden

    def gate(self, name: str, x: Any, h: Any) -> Any:
        w = self.weights
        return nd.dot(x, w["x" + name]) + nd.dot(h, w["h" + name]) + w["b" + name]

    def forward(self, inputs: Any, h: Any, c: Any) -> tuple[list[Any], Any, Any]:
        outputs = []
        for x in inputs:
            if self.case.cell == "lstm":
                g = nd.tanh(self.gate("g", x, h))
                i, f, o = (nd.sigmoid(self.gate(name, x, h)) for name in "ifo")
                c = f * c + i * g
                h = o * nd.tanh(c)
            else:
                z, r = (nd.sigmoid(self.gate(name, x, h)) for name in "zr")
                h = z * h + (1 - z) * nd.tanh(self.gate("h", x, r * h))
            logits = nd.dot(h, self.weights["out"]) + self.weights["b"]
            exp = nd.exp(logits - nd.max(logits))
            outputs.append(exp / nd.sum(exp, axis=0, exclude=True).reshape((-1, 1)))
        return outputs, h, c

    def steps(self) -> Iterator[int]:
        case = self.case
        while True:
            h = nd.zeros((case.streams, case.hidden))
            c = nd.zeros((case.streams, case.hidden))
            for inputs, targets in self.batches:
                with autograd.record():
                    outputs, h, c = self.forward(inputs, h, c)
                    loss = 0.0
                    for p, y in zip(outputs, targets):
                        loss = loss - nd.mean(nd.sum(y * nd.log(p), axis=0, exclude=True))
                    loss = loss / len(outputs)
                loss.backward()
                h, c = h.detach(), c.detach()
                for weight in self.weights.values():
                    weight[:] = weight - LEARNING_RATE * weight.grad
                self.loss = nd.mean(loss).asscalar()
                yield inputs.shape[0] * inputs.shape[1]


class Net(gluon.Block):
    """Embedding, dropout, fused layers, dropout, a dense layer."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        nn, units = gluon.nn, case.hidden
        kind = gluon.rnn.LSTM if case.cell == "lstm" else gluon.rnn.GRU
        with self.name_scope():
            self.drop = nn.Dropout(case.dropout)
            self.encoder = nn.Embedding(case.symbols, units)
            self.rnn = kind(units, case.layers, dropout=case.dropout, input_size=units)
            self.decoder = nn.Dense(case.symbols, in_units=units)
        self.units = units

    def forward(self, inputs: Any, hidden: Any) -> Any:
        output, hidden = self.rnn(self.drop(self.encoder(inputs)), hidden)
        return self.decoder(self.drop(output).reshape((-1, self.units))), hidden


class Words:
    """Imperative Gluon."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.loss = case, 0.0
        self.batches = [tuple(nd.array(e) for e in pair) for pair in batches_of(folder, case)]
        self.net = Net(case)
        self.net.initialize(mx.init.Xavier())

    @property
    def parameters(self) -> int:
        return sum(p.data().size for p in self.net.collect_params().values())

    def steps(self) -> Iterator[int]:
        given = {"learning_rate": LEARNING_RATE}
        trainer = gluon.Trainer(self.net.collect_params(), "sgd", given)
        entropy = gluon.loss.SoftmaxCrossEntropyLoss()
        while True:
            hidden = self.net.rnn.begin_state(batch_size=self.case.streams)
            for inputs, targets in self.batches:
                hidden = [each.detach() for each in hidden]
                with autograd.record():
                    output, hidden = self.net(inputs, hidden)
                    loss = entropy(output, targets.reshape((-1,)))
                loss.backward()
                trainer.step(inputs.size)
                self.loss = loss.mean().asscalar()
                yield inputs.size


def main() -> None:
    given = arguments(CASES)
    case = given.case
    loop = (Words if case.words else Characters)(case, given.data)
    found = rate(loop.steps(), given.seconds, nd.waitall)
    answer(loss=float(loop.loss), parameters=loop.parameters, **found)


if __name__ == "__main__":
    main()
