"""Child-sum Tree-LSTM on pairs of trees, all trees of a minibatch at once or node by node.

Holds the network; what is compared on its states is in similarity.py, the levels in forest.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Optional

from dope.core.backend import mx, nd, synchronous
from dope.core.errors import ConfigError
from dope.plugins.nlp.climb import Climb
from dope.plugins.nlp.forest import plant
from dope.plugins.nlp.rising import Leaves, Step, rise
from dope.plugins.nlp.similarity import Head
from dope.plugins.nlp.trees import Tree
from dope.plugins.nlp.vectors import UNKNOWN, Given, read_vectors

TOGETHER = 64  # trees that go through the levels together: the matrices of sums grow as the square


class Words(mx.gluon.HybridBlock):
    """What words give to the gates: computed once for each different word."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.hidden, self.dropout = hidden, dropout

    def hybrid_forward(self, F: Any, words: Any, embedding: Any, weight: Any, bias: Any) -> Any:
        """W x + b of i, o, u and f (U, 4H), of words (U,)."""
        x = F.take(embedding, words)  # (U, D)
        if self.dropout:
            x = F.Dropout(x, p=self.dropout)
        return F.FullyConnected(x, weight, bias, num_hidden=4 * self.hidden)


class TreeLSTM(mx.gluon.Block):
    """Child-sum Tree-LSTM of both sentences of a pair, and the head that grades their likeness.

    With x the vector of a word, and h_k, c_k the states of its children::

        i, o = sigmoid(W x + U sum of h_k + b)
        u    = tanh(W x + U sum of h_k + b)
        f_k  = sigmoid(W x + U h_k + b)
        c    = i u + sum of f_k c_k
        h    = o tanh(c)

    Parameters
    ----------
    hidden
        Length of h and c.
    similarity
        Hidden units of the head.
    dim
        Length of the vectors of words; a file of vectors brings its own.
    embedding
        A text file of vectors to start from, GloVe's say: a word and its numbers a line. Read by
        gluonnlp. Words of all parts of the data that the file has are then known.
    frozen
        Leave the vectors of words as they are.
    embedding_rate
        The learning rate of the vectors of words is this times that of all else.
    spread
        Vectors that no file gives are drawn from -spread to spread, evenly.
    dropout
        Share of the numbers in vectors of words that are dropped in training; the same for each
        occurrence of a word in a minibatch.
    head_dropout
        Share of the numbers in the states of a pair that are dropped in training.
    batching
        ``depth`` computes all words of one depth in all trees of the minibatch at once; ``off``
        goes through each tree word by word: the same numbers, and slower by far.

    Notes
    -----
    Tai, Socher and Manning, "Improved Semantic Representations From Tree-Structured Long Short-
    Term Memory Networks" (2015), equations 2 to 8 and 15. Words that training has not, nor a file
    of vectors, are one unknown word. Its vector, which is not trained, is drawn as others are, or
    is the mean of those of the file.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        hidden: int = 150,
        similarity: int = 50,
        dim: int = 300,
        embedding: Optional[Path] = None,
        frozen: bool = False,
        embedding_rate: float = 1.0,
        spread: float = 0.05,
        dropout: float = 0.0,
        head_dropout: float = 0.0,
        batching: Literal["depth", "off"] = "depth",
    ) -> None:
        super().__init__()
        _check(hidden, similarity, dim, dropout, head_dropout, embedding_rate, spread)
        self.hidden, self.batching = hidden, batching
        known = sorted(dataset.words("train"))
        vectors: Any = mx.init.Uniform(spread)
        if embedding is not None:
            found = read_vectors(Path(embedding).expanduser(), dataset.words("all"))
            dim = len(next(iter(found.values())))
            known = sorted({*known, *found})
            vectors = Given([UNKNOWN, *known], found, spread)
        self.index = {word: number for number, word in enumerate(known, 1)}  # 0 is unknown
        with self.name_scope():
            get = self.params.get
            self.embedding = get("embedding", shape=(len(known) + 1, dim), init=vectors)
            self.embedding.lr_mult = embedding_rate
            if frozen:
                self.embedding.grad_req = "null"
            self.weight = get("weight", shape=(4 * hidden, dim), init=mx.init.Xavier())
            self.bias = get("bias", shape=(4 * hidden,), init=mx.init.Zero())
            self.sum_weight = get("sum_weight", shape=(3 * hidden, hidden), init=mx.init.Xavier())
            self.forget_weight = get("forget_weight", shape=(hidden, hidden), init=mx.init.Xavier())
            self.head = Head(hidden, similarity, len(dataset.classes), head_dropout)
        self._words, self._leaves, self._step = Words(hidden, dropout), Leaves(hidden), Step(hidden)

    def hybridize(self, active: bool = True, **kwargs: Any) -> None:
        """Compile the parts. Without static memory: no two minibatches have the same shapes."""
        for part in (self._words, self._leaves, self._step, self.head):
            part.hybridize(active)

    def forward(self, pairs: Sequence[Any], context: Any) -> Any:
        """Logits (n, K) of n pairs.

        Parameters
        ----------
        pairs
            Each has the trees ``left`` and ``right``.
        context
            Where it is computed; trees lie nowhere.
        """
        return self.head(self.encode([p.left for p in pairs] + [p.right for p in pairs], context))

    def encode(self, trees: Sequence[Tree], context: Any) -> Any:
        """h (R, H) at the roots of R trees."""
        if self.batching == "off":
            return nd.concat(*[self._recursive(tree, context) for tree in trees], dim=0)
        parts = [trees[i : i + TOGETHER] for i in range(0, len(trees), TOGETHER)]
        found = [self._by_depth(part, context) for part in parts]
        return found[0] if len(found) == 1 else nd.concat(*found, dim=0)

    def _by_depth(self, trees: Sequence[Tree], context: Any) -> Any:
        """h (R, H) at the roots, all trees together."""
        forest = plant(trees, self.index, 0)
        words = nd.from_numpy(forest.words).as_in_context(context)
        gates = self._words(
            words, *(p.data(context) for p in (self.embedding, self.weight, self.bias))
        )
        recurrent = (p.data(context) for p in (self.sum_weight, self.forget_weight))
        if synchronous(context):
            h = Climb(forest)(gates, *recurrent)
        else:
            h = rise(forest, self._leaves, self._step, gates, *recurrent)
        if forest.order is None:
            return h
        return nd.take(h, nd.array(forest.order, ctx=context, dtype="int32"))

    def _recursive(self, tree: Tree, context: Any) -> Any:
        """h (1, H) at the root of one tree, word by word."""
        H, act = self.hidden, nd.Activation
        embedding, weight, bias, sums, forget = [
            p.data(context)
            for p in (self.embedding, self.weight, self.bias, self.sum_weight, self.forget_weight)
        ]
        numbers = nd.array([self.index.get(word, 0) for word in tree.words], ctx=context)
        x = nd.take(embedding, numbers)
        if self._words.dropout:
            x = nd.Dropout(x, p=self._words.dropout)
        gates = nd.FullyConnected(x, weight, bias, num_hidden=4 * H)  # (N, 4H)
        children = tree.children()
        state: dict[int, tuple[Any, Any]] = {}
        # What a recursion does, from the deepest words on: it cannot run out of Python's stack
        for node in sorted(range(len(tree)), key=lambda place: -tree.depth[place]):
            own = gates[node : node + 1]
            iou, f = own[:, : 3 * H], own[:, 3 * H :]
            below = [state.pop(child) for child in children[node]]
            if below:
                h = nd.concat(*[h for h, _ in below], dim=0)  # (k, H)
                c = nd.concat(*[c for _, c in below], dim=0)
                total = h.sum(axis=0, keepdims=True)
                iou = iou + nd.FullyConnected(total, sums, no_bias=True, num_hidden=3 * H)
                part = nd.FullyConnected(h, forget, no_bias=True, num_hidden=H)
                kept = act(nd.broadcast_add(part, f), act_type="sigmoid") * c
            i, o, u = iou[:, :H], iou[:, H : 2 * H], iou[:, 2 * H :]
            c_own = act(i, act_type="sigmoid") * act(u, act_type="tanh")
            if below:
                c_own = c_own + kept.sum(axis=0, keepdims=True)
            state[node] = act(o, act_type="sigmoid") * act(c_own, act_type="tanh"), c_own
        ((h, _),) = state.values()
        return h


def _check(
    hidden: int,
    similarity: int,
    dim: int,
    dropout: float,
    head_dropout: float,
    embedding_rate: float,
    spread: float,
) -> None:
    for name, size in {"hidden": hidden, "similarity": similarity, "dim": dim}.items():
        if size < 1:
            raise ConfigError(f"model.{name}={size} is out of range", "It is at least 1.")
    for name, share in {"dropout": dropout, "head_dropout": head_dropout}.items():
        if not 0 <= share < 1:
            raise ConfigError(
                f"model.{name}={share} is out of range", "It is at least 0 and below 1."
            )
    for name, number in {"embedding_rate": embedding_rate, "spread": spread}.items():
        if not 0 <= number < float("inf"):
            raise ConfigError(f"model.{name}={number} is out of range", "It is 0 or more.")
