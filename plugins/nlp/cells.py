"""The recurrent layers: fused, as gluon has them, and from scratch on primitive operators.

Holds no language model; parameters have the same names, shapes and gates in both kinds.
"""

from __future__ import annotations

from typing import Any

from dope.core.backend import mx

GATES = {"rnn": 1, "rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
PRODUCTS = {"gru": (2, 1)}  # gates of each product, where they do not all go into one
STATES = {"lstm": 2}  # of each layer: hidden and cell state; the others have the hidden one


class Scratch(mx.gluon.HybridBlock):
    """One recurrent layer on primitive operators, its loop over time unrolled.

    With x the input, h the state, W, U, b and c the parameters ``i2h_weight``, ``h2h_weight``,
    ``i2h_bias`` and ``h2h_bias`` (gates stacked along the first axis), and s the sigmoid::

        rnn    h' = tanh(W x + b + U h + c)
        lstm   i, f, g, o = W x + b + U h + c
               m' = s(f) m + s(i) tanh(g);  h' = s(o) tanh(m')
        gru    r, z = s(W x + b + U h + c)
               n = tanh(Wn x + bn + r (Un h + cn));  h' = (1 - z) n + z h

    Parameters
    ----------
    cell
        ``rnn`` (or ``rnn_tanh``), ``rnn_relu``, ``lstm`` or ``gru``.
    hidden
        H, units of the state.
    inputs
        Units of the input.
    weight_drop
        Share of ``h2h_weight`` that is dropped in training, the same at all times of a batch.

    Attributes
    ----------
    length
        T of the inputs, which symbols do not tell: to be set before the layer is traced.

    Notes
    -----
    LSTM: Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000). GRU: Cho et
    al. (2014) in the form of cuDNN, with the reset gate after the product. W x is computed for all
    times at once, before the loop. MXNet's own loop, ``F.contrib.foreach``, is not used: in a graph
    with static memory it loses what its backward pass needs.
    """

    length = 0

    def __init__(self, cell: str, hidden: int, inputs: int, weight_drop: float = 0.0) -> None:
        super().__init__()
        self.cell, self.hidden, self.weight_drop = cell, hidden, weight_drop
        rows, start = GATES[cell] * hidden, initializers(cell, hidden)
        make = self.params.get
        self.l0_i2h_weight = make("l0_i2h_weight", shape=(rows, inputs), init=start["i2h_weight"])
        self.l0_h2h_weight = make("l0_h2h_weight", shape=(rows, hidden), init=start["h2h_weight"])
        self.l0_i2h_bias = make("l0_i2h_bias", shape=(rows,), init=start["i2h_bias"])
        self.l0_h2h_bias = make("l0_h2h_bias", shape=(rows,), init="zeros")

    def hybrid_forward(
        self,
        F: Any,
        x: Any,
        states: Any,
        l0_i2h_weight: Any,
        l0_h2h_weight: Any,
        l0_i2h_bias: Any,
        l0_h2h_bias: Any,
    ) -> Any:
        """Inputs (T, N, inputs) and states, each (1, N, H), to outputs (T, N, H) and states."""
        if self.weight_drop:
            l0_h2h_weight = F.Dropout(l0_h2h_weight, p=self.weight_drop)
        length = x.shape[0] if F is mx.nd else self.length
        driven = [
            _times(F, F.FullyConnected(x, *each, num_hidden=rows, flatten=False), length)
            for rows, *each in self._products(F, l0_i2h_weight, l0_i2h_bias)
        ]  # for each product and each time (N, rows)
        products = self._products(F, l0_h2h_weight, l0_h2h_bias)
        states = [F.reshape(state, shape=(-3, 0)) for state in states]  # (N, H)
        outputs = []
        for now in zip(*driven):
            fed = [F.FullyConnected(states[0], *each, num_hidden=rows) for rows, *each in products]
            states = _STEPS[self.cell](F, now, fed, states)
            outputs.append(states[0])
        ends = [F.expand_dims(state, axis=0) for state in states]
        return F.stack(*outputs, axis=0), ends

    def _products(self, F: Any, weight: Any, bias: Any) -> list[tuple[int, Any, Any]]:
        """Rows, weight and bias of each product of a step.

        The gates of a GRU that are added up alike go into one, the third into another: cut once
        for all times, their sums need not be cut at each.
        """
        found, begin = [], 0
        for gates in PRODUCTS.get(self.cell, ()):
            rows = gates * self.hidden
            place = {"axis": 0, "begin": begin, "end": begin + rows}
            found.append((rows, F.slice_axis(weight, **place), F.slice_axis(bias, **place)))
            begin += rows
        return found or [(GATES[self.cell] * self.hidden, weight, bias)]


def _times(F: Any, x: Any, length: int) -> list[Any]:
    """(T, N, rows) to T arrays (N, rows)."""
    if length == 1:
        return [F.reshape(x, shape=(-3, 0))]
    return list(F.split(x, num_outputs=length, axis=0, squeeze_axis=True))


def _rnn(F: Any, driven: Any, fed: Any, before: Any, kind: str = "tanh") -> Any:
    return [F.Activation(driven[0] + fed[0], act_type=kind)]


def _relu(F: Any, driven: Any, fed: Any, before: Any) -> Any:
    return _rnn(F, driven, fed, before, "relu")


def _lstm(F: Any, driven: Any, fed: Any, before: Any) -> Any:
    i, f, g, o = F.split(driven[0] + fed[0], num_outputs=4, axis=1)  # each (N, H)
    kept = F.Activation(f, act_type="sigmoid") * before[1]
    new = F.Activation(i, act_type="sigmoid") * F.Activation(g, act_type="tanh")
    memory = kept + new
    shown = F.Activation(o, act_type="sigmoid") * F.Activation(memory, act_type="tanh")
    return [shown, memory]


def _gru(F: Any, driven: Any, fed: Any, before: Any) -> Any:
    gates = F.Activation(driven[0] + fed[0], act_type="sigmoid")  # (N, 2 H)
    reset, update = F.split(gates, num_outputs=2, axis=1)
    new = F.Activation(driven[1] + reset * fed[1], act_type="tanh")
    return [new + update * (before[0] - new)]


_STEPS = {"rnn": _rnn, "rnn_tanh": _rnn, "rnn_relu": _relu, "lstm": _lstm, "gru": _gru}


class _Dropped:
    """Mixed into a fused layer: a share of the weights from state to state is dropped."""

    weight_drop = 0.0

    def hybrid_forward(self, F: Any, inputs: Any, states: Any, **given: Any) -> Any:
        """As the fused layer, with ``h2h_weight`` behind dropout, the same for all times."""
        for name in given if self.weight_drop else ():
            if name.endswith("h2h_weight"):
                given[name] = F.Dropout(given[name], p=self.weight_drop)
        fused: Any = super()
        return fused.hybrid_forward(F, inputs, states, **given)

    def _collect_params_with_prefix(self, prefix: str = "") -> dict[str, Any]:
        """Names as in `Scratch`; gluon's fused layers call theirs as a stack of cells would."""
        found: dict[str, Any] = mx.gluon.Block._collect_params_with_prefix(self, prefix)
        return found


class _DroppedRNN(_Dropped, mx.gluon.rnn.RNN):
    pass


class _DroppedLSTM(_Dropped, mx.gluon.rnn.LSTM):
    pass


class _DroppedGRU(_Dropped, mx.gluon.rnn.GRU):
    pass


def fused(cell: str, hidden: int, inputs: int, weight_drop: float = 0.0) -> Any:
    """One layer of gluon's fused kind; the parameters as `Scratch`."""
    start = initializers(cell, hidden)
    given = {
        "input_size": inputs,
        "i2h_weight_initializer": start["i2h_weight"],
        "h2h_weight_initializer": start["h2h_weight"],
        "i2h_bias_initializer": start["i2h_bias"],
    }
    if cell == "lstm":
        layer = _DroppedLSTM(hidden, **given)
    elif cell == "gru":
        layer = _DroppedGRU(hidden, **given)
    else:
        layer = _DroppedRNN(hidden, activation="relu" if cell == "rnn_relu" else "tanh", **given)
    layer.weight_drop = weight_drop
    return layer


def initializers(cell: str, hidden: int) -> dict[str, Any]:
    """How a layer starts: weights uniform within 1 / sqrt(H), an LSTM's forget gates open.

    The bias of 1 on the forget gate: Jozefowicz et al., "An Empirical Exploration of Recurrent
    Network Architectures" (2015).
    """
    uniform = mx.init.Uniform(hidden**-0.5)
    bias = mx.init.LSTMBias(forget_bias=1.0) if cell == "lstm" else "zeros"
    return {"i2h_weight": uniform, "h2h_weight": uniform, "i2h_bias": bias}


def dropping(share: float, axes: tuple[int, ...] = ()) -> Any:
    """Dropout of a share of the values; none at all, and no copy, where the share is 0."""
    if share:
        return mx.gluon.nn.Dropout(share, axes=axes)
    return mx.gluon.nn.HybridLambda(lambda F, x: x)


class Recurrent(mx.gluon.HybridBlock):
    """Recurrent layers one upon the other, with dropout between them.

    Parameters
    ----------
    cell
        As in `Scratch`.
    sizes
        Units of the input, then of each layer.
    impl
        ``gluon`` for fused layers, ``scratch`` for `Scratch`.
    dropout
        Share of the values between two layers that is dropped in training.
    weight_drop
        Share of the weights from state to state that is dropped in training.
    locked
        Whether dropout between layers drops the same units at all times of a batch.
    """

    def __init__(
        self,
        cell: str,
        sizes: list[int],
        impl: str,
        dropout: float = 0.0,
        weight_drop: float = 0.0,
        locked: bool = False,
    ) -> None:
        super().__init__()
        self.cell, self.sizes, self.locked = cell, sizes[1:], locked
        make = Scratch if impl == "scratch" else fused
        self.layers = []
        for i, (below, units) in enumerate(zip(sizes, sizes[1:])):
            layer = make(cell, units, below, weight_drop)
            self.register_child(layer, f"layer{i}")
            self.layers.append(layer)
        self.between = dropping(dropout, (0,) if locked else ())

    def unroll(self, length: int) -> None:
        """Say how many times the inputs have that are traced next."""
        for layer in self.layers:
            layer.length = length

    def begin(self, x: Any) -> list[Any]:
        """States of zeros for inputs (T, N): for each layer one of (1, N, H), or two."""
        F = mx.nd if isinstance(x, mx.nd.NDArray) else mx.sym
        one = F.expand_dims(F.zeros_like(F.slice_axis(x, axis=0, begin=0, end=1)), axis=2)
        made = []
        for units in self.sizes:
            zeros = F.broadcast_axis(one, axis=2, size=units)  # (1, N, H)
            made += [zeros] * STATES.get(self.cell, 1)
        return made

    def hybrid_forward(self, F: Any, x: Any, states: Any) -> Any:
        """(T, N, inputs) and the states of all layers to the last one's outputs and new states."""
        number, ends = STATES.get(self.cell, 1), []
        for i, layer in enumerate(self.layers):
            if i:
                x = self.between(x)
            x, new = layer(x, list(states[i * number : (i + 1) * number]))
            ends += new
        return x, ends
