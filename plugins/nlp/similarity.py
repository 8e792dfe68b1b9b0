"""How alike two sentences are: the head on two states, the task, and its figures of merit.

Holds no trees and no encoder; those are in trees.py and tree_lstm.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Tuple

import numpy as np

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.core.rundir import RunDirectory
from dope.core.task import Task
from dope.plugins.nlp import tree_plots

GROWN = "its graph depends on the tree, and each sentence has another one"


class Head(mx.gluon.HybridBlock):
    """Scores of the grades of likeness from the states of two sentences.

    With the states a and b of shape (n, H), one below the other::

        s = sigmoid(W1 (a b) + W2 |a - b| + b1)
        logits = W3 s + b3

    Parameters
    ----------
    hidden
        H.
    similarity
        Length of s.
    classes
        Grades.
    dropout
        Share of the products and differences that are dropped in training.

    Notes
    -----
    Tai, Socher and Manning (2015), equation 15.
    """

    def __init__(self, hidden: int, similarity: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.inner = mx.gluon.nn.Dense(
            similarity, in_units=2 * hidden, weight_initializer=mx.init.Xavier()
        )
        self.outer = mx.gluon.nn.Dense(
            classes, in_units=similarity, weight_initializer=mx.init.Xavier()
        )

    def hybrid_forward(self, F: Any, states: Any) -> Any:
        """Logits (n, K) of states (2n, H): first the left ones, then the right ones."""
        left, right = F.split(states, num_outputs=2, axis=0)
        both = F.concat(left * right, F.abs(left - right), dim=1)  # (n, 2H)
        if self.dropout:
            both = F.Dropout(both, p=self.dropout)
        return self.outer(F.Activation(self.inner(both), act_type="sigmoid"))


class TreeSimilarity(Task):
    """Tell how alike two parsed sentences are, from 1 to 5, by a Tree-LSTM.

    The model gives a distribution over the grades 1 to 5; its mean is the predicted score. It
    learns from the distribution over the two grades next to the true score whose mean is that.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "similarity": (
            "Points near the line are pairs judged as people did. Look at the far corners: high "
            "predictions for pairs that mean different things are mostly shared words."
        ),
    }
    threads: ClassVar[int] = 1  # two bring nothing to operators as small as those of a level
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "nlp.grammar",
        "model": "nlp.tree_lstm",
        "loss": "losses.kl",
        "optimizer": {"name": "adagrad", "learning_rate": 0.05, "wd": 0.0001},
        "trainer": {
            "batch_size": 25,
            "epochs": 12,
            "monitor": "valid_pearson",
        },
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "model": {"name": "nlp.tree_lstm", "hidden": 64, "dim": 64},
            "trainer": {"epochs": 8},
        },
        "book": {
            "dataset": "nlp.sick",
            "optimizer": {"name": "adagrad", "learning_rate": 0.01, "wd": 0.0001},
            "trainer": {"epochs": 1},
        },
        "tiny": {
            "dataset": {"name": "nlp.grammar", "pairs": 60},
            "model": {"name": "nlp.tree_lstm", "hidden": 8, "similarity": 6, "dim": 6},
            "trainer": {"epochs": 2, "batch_size": 10},
        },
    }

    no_export: ClassVar[Mapping[str, str]] = {"symbol": GROWN, "onnx": GROWN}

    def build(self) -> Any:
        """The network; the loss is compiled by itself, since trees cannot be traced with it."""
        if isinstance(self.criterion, mx.gluon.HybridBlock):
            self.criterion.hybridize()
        return super().build()

    def loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        """Divergence of the predicted from the true distribution (n,)."""
        pairs, target = shard
        return self.criterion(nets(pairs, target.context), target)

    def evaluate(self, engine: Any) -> dict[str, float]:
        """Loss, Pearson's r, Spearman's rho and mean squared error on held-out pairs."""
        figures: dict[str, float] = {}
        for split in ("valid", "test"):
            batches = self.data(split)
            if batches is None:
                continue
            found = [each for batch in batches for each in engine.gather(self._judged, batch)]
            losses, predicted = (
                np.concatenate([x.asnumpy() for x in each]) for each in zip(*found)
            )
            true = np.array([pair.score for pair in self.dataset.split(split)])
            figures[f"{split}_loss"] = float(losses.mean())
            figures[f"{split}_pearson"] = pearson(predicted, true)
            figures[f"{split}_spearman"] = spearman(predicted, true)
            figures[f"{split}_mse"] = float(np.mean((predicted - true) ** 2))
        return figures

    def _judged(self, nets: Any, shard: Any) -> tuple[Any, Any]:
        """Loss (n,) and predicted score (n,)."""
        pairs, target = shard
        logits = nets(pairs, target.context)
        return self.criterion(logits, target), _expected(logits)

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """A plot of predicted against true scores of the held-out pairs."""
        part = "test" if self.dataset.split("test") else "valid"
        pairs = self.dataset.split(part)
        if pairs:
            true, predicted = np.array([p.score for p in pairs]), self.scores(nets, pairs)
            title = f"{len(pairs):,} {part} pairs, Pearson r {pearson(predicted, true):.3f}"
            tree_plots.agreement(
                run.plots / "similarity.png", true, predicted, len(self.dataset.classes), title
            )
        return {}

    def predict(
        self, nets: Any, run: RunDirectory, *, inputs: Tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Predicted and true scores of the held-out pairs, or predicted ones of others.

        Parameters
        ----------
        inputs
            CoNLL-U files of pairs, or pairs such as
            ``a/2 man/3 sings/0 ||| he/2 sings/0``: words, each with the place of its head.
        """
        if inputs:
            return self._rows(nets, self.dataset.from_inputs(inputs))
        pairs = self.dataset.split("test") or self.dataset.split("valid")
        if not pairs:
            raise ConfigError("the data set has no held-out pairs", "Give --input PAIR.")
        return self._rows(nets, pairs)

    def _rows(self, nets: Any, pairs: Sequence[Any]) -> dict[str, Any]:
        rows = []
        for pair, score in zip(pairs, self.scores(nets, pairs).tolist()):
            row = {"left": str(pair.left), "right": str(pair.right), "predicted": score}
            rows.append(row if np.isnan(pair.score) else {**row, "true": pair.score})
        return {"rows": rows}

    def scores(self, nets: Any, pairs: Sequence[Any]) -> np.ndarray:
        """Predicted scores (n,) of pairs."""
        context = next(iter(nets.collect_params().values())).list_ctx()[0]
        size = self.options.batch_size or 25
        parts = [list(pairs[i : i + size]) for i in range(0, len(pairs), size)]
        return np.concatenate([_expected(nets(part, context)).asnumpy() for part in parts])


def _expected(logits: Any) -> Any:
    """Mean grade (n,) of the distributions of logits (n, K)."""
    p = mx.nd.softmax(logits, axis=-1)
    grades = mx.nd.arange(1, p.shape[1] + 1, ctx=p.context)
    return mx.nd.dot(p, grades)


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation coefficient of two vectors; 0 where one is constant."""
    a, b = (np.asarray(v, np.float64) - np.mean(v, dtype=np.float64) for v in (x, y))
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of two vectors: Pearson's of their ranks, ties at their mean."""
    return pearson(ranks(x), ranks(y))


def ranks(x: np.ndarray) -> np.ndarray:
    """Ranks (n,) from 1; equal values all have the mean of their ranks."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place.reshape(-1)]
