"""A linear part and a deep part side by side, and several such networks trained as one.

Holds the model; what makes numbers of a table is in encoding.py.
"""

from __future__ import annotations

from typing import Any, Literal, Tuple

from dope.core.backend import mx
from dope.core.errors import ConfigError

nn = mx.gluon.nn


class WideDeep(mx.gluon.HybridBlock):
    """A linear part plus dense layers, several times over: members whose outputs are averaged.

    Each member starts from weights of its own and drops units of its own. Members are trained
    together, in one matrix product a layer, and none knows of the others: the gradient of each is
    as large as if it were alone.

    Parameters
    ----------
    hidden
        Units of each hidden layer; none leaves the linear part.
    members
        How many networks are averaged.
    wide
        Whether there is a linear part, which sees every column.
    embedding
        Numbers that stand for a word in the deep part; 0 gives it a column of 0 and 1 a word
        instead. The linear part has those in any case.
    activation
        ``relu`` or ``tanh``.
    dropout
        Share of the hidden units that are left out in each step of training.
    input_dropout
        Share of the inputs that are.

    Raises
    ------
    ConfigError
        An option is out of range.

    Notes
    -----
    Inputs (n, D) to (n, M), M the number of members; to (n, M, K) for K classes; with
    ``embedding`` the inputs are numbers (n, D), words as 0 and 1 (n, V), unless there is no
    linear part, and codes (n, C): the attribute ``takes``.
    The two parts: Cheng et al., "Wide & Deep Learning for Recommender Systems" (2016), section 3.
    A data set has ``shape`` and ``outputs``; where they are 0 they come from the checkpoint.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        hidden: Tuple[int, ...] = (64,),
        members: int = 8,
        wide: bool = True,
        embedding: int = 0,
        activation: Literal["relu", "tanh"] = "relu",
        dropout: float = 0.1,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check(hidden, members, wide, embedding, dropout, input_dropout)
        self.members = members
        if embedding:
            self.takes = ("numbers", "words", "codes") if wide else ("numbers", "codes")
        self._hidden, self._dropout, self._input_dropout = hidden, dropout, input_dropout
        self._activation = activation
        outputs, inputs = getattr(dataset, "outputs", 1), dataset.shape[0]
        with self.name_scope():
            if wide:
                self.wide = nn.Dense(
                    members * outputs, in_units=inputs, weight_initializer=mx.init.Zero()
                )
            if embedding:
                places = dataset.encoding.places if inputs else 0
                self.embedding = self.params.get(
                    "embedding",
                    shape=(places, embedding),
                    init=mx.init.Normal(0.3),
                    allow_deferred_init=True,
                )
                inputs = 0
            start = mx.init.Xavier(factor_type="in", magnitude=6 if activation == "relu" else 3)
            if hidden:
                self.first = nn.Dense(
                    members * hidden[0], in_units=inputs, weight_initializer=start
                )
            sizes = [*zip(hidden, hidden[1:]), *([(hidden[-1], outputs)] if hidden else [])]
            for i, (left, right) in enumerate(sizes, 2):
                last = i == len(sizes) + 1
                scale = (3 if last or activation == "tanh" else 6) / left
                for name, shape, init in (
                    (f"weight{i}", (members, left, right), mx.init.Uniform(scale**0.5)),
                    (f"bias{i}", (members, 1, right), mx.init.Zero()),
                ):
                    if last and wide and name.startswith("bias"):
                        continue  # the linear part has one
                    found = self.params.get(name, shape=shape, init=init, allow_deferred_init=True)
                    setattr(self, name, found)
        self._layers = len(sizes)

    def hybrid_forward(self, F: Any, x: Any, *more: Any, **own: Any) -> Any:
        """Outputs (n, M), or (n, M, K) of K classes."""
        deep = x
        if more:
            *words, codes = more
            deep = F.concat(x, F.flatten(F.take(own["embedding"], codes)), dim=1)  # (n, D + C E)
            x = F.concat(x, *words, dim=1) if words else x
        if self._input_dropout:
            x, deep = (F.Dropout(each, p=self._input_dropout) for each in (x, deep))
        parts = []
        if hasattr(self, "wide"):
            units = self.wide.weight.shape[0] // self.members
            parts.append(F.reshape(self.wide(x), shape=(-1, self.members, units)))
        if self._hidden:
            parts.append(self._deep(F, deep, own))
        out = parts[0] if len(parts) == 1 else parts[0] + parts[1]  # (n, M, K)
        # its value is out; its gradient M times that of a loss that is a mean over members
        out = out + (self.members - 1) * (out - F.BlockGrad(out))
        if self._outputs == 1:
            return F.reshape(out, shape=(-1, self.members))
        return F.reshape(out, shape=(-1, self._outputs)) if self.members == 1 else out

    @property
    def _outputs(self) -> int:
        """K, as the parameters have it by now."""
        if hasattr(self, "wide"):
            return int(self.wide.weight.shape[0]) // self.members
        return int(getattr(self, f"weight{self._layers + 1}").shape[2])

    def _deep(self, F: Any, x: Any, own: Any) -> Any:
        """The dense layers: (n, D) to (n, M, K)."""
        z = F.reshape(self.first(x), shape=(-1, self.members, self._hidden[0]))
        z = F.transpose(z, axes=(1, 0, 2))  # (M, n, H)
        for i in range(2, self._layers + 2):
            z = F.Activation(z, act_type=self._activation)
            if self._dropout:
                z = F.Dropout(z, p=self._dropout)
            z = F.batch_dot(z, own[f"weight{i}"])
            if f"bias{i}" in own:
                z = F.broadcast_add(z, own[f"bias{i}"])
        return F.transpose(z, axes=(1, 0, 2))


def _check(
    hidden: Tuple[int, ...],
    members: int,
    wide: bool,
    embedding: int,
    dropout: float,
    input_dropout: float,
) -> None:
    if any(units < 1 for units in hidden):
        raise ConfigError(
            f"model.hidden={list(hidden)} is out of range", "A layer has at least 1 unit."
        )
    if not hidden and (not wide or embedding):
        raise ConfigError(
            "model.hidden=[] leaves nothing to learn" if not wide else "model.hidden=[] has no "
            "deep part to use model.embedding", "Give it layers, such as model.hidden=[64].",
        )  # fmt: skip
    if members < 1 or embedding < 0:
        raise ConfigError(
            f"model.members={members} or model.embedding={embedding} is out of range",
            "There is at least 1 member; an embedding is 0 or larger.",
        )
    for name, share in (("dropout", dropout), ("input_dropout", input_dropout)):
        if not 0 <= share < 1:
            raise ConfigError(
                f"model.{name}={share} is out of range", "It is at least 0 and below 1."
            )
