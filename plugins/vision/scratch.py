"""Layers built on primitive operators, with the names, arguments and parameters of Gluon's.

Holds no model; a model takes its layers from here or from ``mxnet.gluon.nn``.
"""

from __future__ import annotations

import json
from typing import Any, Optional

from dope.core.backend import mx, nd


class Dense(mx.gluon.HybridBlock):
    """A linear map of each flattened example: ``x W' + b``, from ``dot`` and a broadcast sum.

    Parameters
    ----------
    units, in_units
        Length of an output and of an input.
    activation
        ``relu`` or None.
    weight_initializer
        Of W, shape (units, in_units); the bias starts at zero.
    """

    def __init__(
        self,
        units: int,
        activation: Optional[str] = None,
        *,
        in_units: int,
        weight_initializer: Any = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = self.params.get("weight", shape=(units, in_units), init=weight_initializer)
        self.bias = self.params.get("bias", shape=(units,), init="zeros")

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any) -> Any:
        """(n, ...) to (n, units)."""
        linear = F.dot(F.flatten(x), weight, transpose_b=True)
        return _activate(F, F.broadcast_add(linear, F.expand_dims(bias, axis=0)), self.activation)


class Conv2D(mx.gluon.HybridBlock):
    """A convolution: the bare operator on parameters of its own.

    Parameters
    ----------
    channels, in_channels
        Number of filters, and of channels of the input.
    kernel_size, padding
        Side of the filters, and zeros around the image, in pixels.
    activation
        ``relu`` or None.
    weight_initializer
        Of the filters, shape (channels, in_channels, kernel_size, kernel_size).
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        *,
        padding: int = 0,
        activation: Optional[str] = None,
        in_channels: int,
        weight_initializer: Any = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.options = {
            "kernel": (kernel_size, kernel_size),
            "pad": (padding, padding),
            "num_filter": channels,
        }
        shape = (channels, in_channels, kernel_size, kernel_size)
        self.weight = self.params.get("weight", shape=shape, init=weight_initializer)
        self.bias = self.params.get("bias", shape=(channels,), init="zeros")

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any) -> Any:
        """(n, in_channels, h, w) to (n, channels, h', w')."""
        return _activate(F, F.Convolution(x, weight, bias, **self.options), self.activation)


class _Pool2D(mx.gluon.HybridBlock):
    kind = ""

    def __init__(self, pool_size: int, strides: int) -> None:
        super().__init__()
        self.kernel, self.stride = (pool_size, pool_size), (strides, strides)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.Pooling(x, pool_type=self.kind, kernel=self.kernel, stride=self.stride)


class MaxPool2D(_Pool2D):
    """The largest value of each window, which lies inside the image as a whole."""

    kind = "max"


class AvgPool2D(_Pool2D):
    """The mean of each window, which lies inside the image as a whole."""

    kind = "avg"


class Activation(mx.gluon.HybridBlock):
    """``max(x, 0)``."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.activation = activation

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Any shape, kept."""
        return _activate(F, x, self.activation)


class Dropout(mx.gluon.HybridBlock):
    """Each value is zero with probability ``rate``, else divided by 1 - rate; in training only.

    Parameters
    ----------
    rate
        At least 0, below 1.

    Notes
    -----
    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Any shape, kept."""
        values = F.reshape(x, shape=(-1,))
        one = F.slice_axis(values, axis=0, begin=0, end=1)
        rate = self.rate * _training(F, one)  # 0 in prediction: all are kept, and divided by 1
        kept = F.broadcast_greater_equal(F.random.uniform_like(values, low=0, high=1), rate)
        return x * F.reshape_like(F.BlockGrad(F.broadcast_div(kept, 1 - rate)), x)


class BatchNorm(mx.gluon.HybridBlock):
    """Normalize each channel over a batch in training, by moving statistics in prediction.

    Training, with mean and variance over all axes but the second::

        y = gamma (x - mean) / sqrt(variance + epsilon) + beta
        moving = momentum moving + (1 - momentum) batch's

    The moving variance is of the biased kind (divided by the number of values), which is what
    MXNet's operator keeps on CPU.

    Parameters
    ----------
    in_channels
        Length of the second axis.
    momentum
        Share of the moving statistics that stays at each step. (PyTorch's momentum is 1 minus
        this.)
    epsilon
        Added to the variance.

    Notes
    -----
    Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
    Internal Covariate Shift" (2015), algorithms 1 and 2.

    On several contexts, each normalizes by its own shard and keeps statistics of its own.
    """

    def __init__(self, in_channels: int, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        still = {"shape": (in_channels,), "grad_req": "null", "differentiable": False}
        self.gamma = self.params.get("gamma", shape=(in_channels,), init="ones")
        self.beta = self.params.get("beta", shape=(in_channels,), init="zeros")
        self.running_mean = self.params.get("running_mean", init="zeros", **still)
        self.running_var = self.params.get("running_var", init="ones", **still)

    def hybrid_forward(
        self, F: Any, x: Any, gamma: Any, beta: Any, running_mean: Any, running_var: Any
    ) -> Any:
        """(n, channels, ...), kept."""
        training = _training(F, gamma)
        mean = F.mean(x, axis=1, exclude=True, keepdims=True)  # (1, channels, 1, ...)
        spread = F.square(F.broadcast_sub(x, mean))
        variance = F.mean(spread, axis=1, exclude=True)  # (channels)
        centre = self._statistic(F, training, F.reshape(mean, shape=(-1,)), running_mean, "mean")
        scale = self._statistic(F, training, variance, running_var, "var")
        scale = gamma / F.sqrt(scale + self.epsilon)
        centered = F.broadcast_sub(x, F.reshape_like(centre, mean))
        scaled = F.broadcast_mul(centered, F.reshape_like(scale, mean))
        return F.broadcast_add(scaled, F.reshape_like(beta, mean))

    def _statistic(self, F: Any, training: Any, batch: Any, moving: Any, name: str) -> Any:
        """The batch's in training, the moving one in prediction; moves the latter in training."""
        # where, not a product with the flag: in prediction an infinite batch must not touch it
        step = F.BlockGrad(F.where(training, moving - batch, F.zeros_like(moving)))
        moved = _subtract(F, moving, step, 1 - self.momentum, f"{self.name}_{name}")
        return F.where(training, batch, F.BlockGrad(moved))


def _activate(F: Any, x: Any, activation: Optional[str]) -> Any:
    """relu or nothing. At 0 its gradient is 0, as that of MXNet's; F.maximum(x, 0) has 1 there."""
    return x * (x > 0) if activation == "relu" else x


def _training(F: Any, like: Any) -> Any:
    """1 in training and 0 in prediction, in the shape of ``like``.

    A traced graph serves both modes, and only operators know which one it is: dropout of ones
    gives 0 or 2 in training and 1 in prediction.
    """
    return F.BlockGrad(F.square(F.Dropout(F.ones_like(like), p=0.5) - 1))


def _subtract(F: Any, moving: Any, step: Any, rate: float, name: str) -> Any:
    """``moving -= rate step`` in place, inside the graph too; returns ``moving``.

    A traced graph can change an array only through an operator that does: here the update of SGD
    with momentum, with the moving statistic as its momentum (kept in full), 0 as its weight, and
    so the new momentum as its result.
    """
    zero = F.zeros_like(moving)
    if F is nd:
        return F.sgd_mom_update(zero, step, moving, lr=rate, momentum=1.0)
    # mx.sym.sgd_mom_update cannot be called (it does not know the names of its inputs), and the
    # multi_ forms of it lose their output's shape; read from JSON it composes.
    inputs = ("weight", "grad", "mom")
    nodes: list[dict[str, Any]] = [{"op": "null", "name": key, "inputs": []} for key in inputs]
    update = {"op": "sgd_mom_update", "name": name, "attrs": {"lr": repr(rate), "momentum": "1"}}
    nodes.append({**update, "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0]]})
    version = {"mxnet_version": ["int", 10901]}
    graph = {"nodes": nodes, "arg_nodes": [0, 1, 2], "heads": [[3, 0, 0]], "attrs": version}
    return mx.sym.load_json(json.dumps(graph))(weight=zero, grad=step, mom=moving)
