"""Losses that compare an output with a target: one number for each example, never a mean.

Holds the formulas only; summing over a batch and dividing by its length is the engine's matter.
"""

from __future__ import annotations

from typing import Any, Literal

from dope.core.backend import mx
from dope.core.errors import ConfigError


class SoftmaxCrossEntropy(mx.gluon.HybridBlock):
    """Cross-entropy between classes and the softmax of logits.

    With p = softmax(z) over K classes, target t and smoothing s::

        loss = -(1 - s) log p[t] - s / K * sum over k of log p[k]

    Logits have shape (n, K) or (n, ..., K), targets (n) or (n, ...): whole numbers from 0 to
    K - 1 of any type. Axes between the first and the last are averaged over.

    Parameters
    ----------
    label_smoothing
        s, the share of the target that is spread evenly over all classes; at least 0, below 1.

    Raises
    ------
    ConfigError
        ``label_smoothing`` is out of range.

    Notes
    -----
    Smoothing: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016),
    section 7. The logarithm of the softmax is one operator, so logits of any size do; in float32
    on CPU (oneDNN) it is right to about 5e-6, and a loss can be that little below 0. A target that
    is no class is taken for the nearest one: data sets check their labels.
    """

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ConfigError(
                f"loss.label_smoothing={label_smoothing} is out of range",
                "It is at least 0 and below 1.",
            )
        self.label_smoothing = label_smoothing

    def hybrid_forward(self, F: Any, output: Any, target: Any) -> Any:
        """Loss (n) of logits (n, K) and classes (n)."""
        logs = F.log_softmax(output, axis=-1)
        loss = -F.pick(logs, target, axis=-1)
        if self.label_smoothing:
            spread = -F.mean(logs, axis=-1)
            loss = (1 - self.label_smoothing) * loss + self.label_smoothing * spread
        return _per_example(F, loss)


class L1(mx.gluon.HybridBlock):
    """Absolute error: ``|y - t|``.

    Output and target have the same shape, (n) or (n, ...), and the same type; all axes but the
    first are averaged over. An output (n, 1) goes with a target (n).
    """

    def hybrid_forward(self, F: Any, output: Any, target: Any) -> Any:
        """Loss (n) of outputs (n, ...) and targets (n, ...)."""
        return F.mean(F.abs(_error(F, output, target)), axis=1)


class L2(mx.gluon.HybridBlock):
    """Half the squared error: ``(y - t)^2 / 2``.

    Mind the half, as in Gluon: the gradient is y - t, and the mean squared error is twice the
    mean of this loss. Output and target have the same shape, (n) or (n, ...), and the same type;
    all axes but the first are averaged over. An output (n, 1) goes with a target (n).
    """

    def hybrid_forward(self, F: Any, output: Any, target: Any) -> Any:
        """Loss (n) of outputs (n, ...) and targets (n, ...)."""
        return F.mean(F.square(_error(F, output, target)), axis=1) / 2


class Huber(mx.gluon.HybridBlock):
    """Squared error near zero, absolute error beyond, with e = y - t::

        loss = e^2 / (2 rho)    where |e| < rho
               |e| - rho / 2    elsewhere

    This is Huber's function divided by rho, as in Gluon, also known as smooth L1: the gradient is
    at most 1 for any rho. Output and target have the same shape, (n) or (n, ...), and the same
    type; all axes but the first are averaged over. An output (n, 1) goes with a target (n).

    Parameters
    ----------
    rho
        The error, in units of the target, at which the square ends; above 0.

    Raises
    ------
    ConfigError
        ``rho`` is out of range.

    Notes
    -----
    Huber, "Robust Estimation of a Location Parameter" (1964).
    """

    def __init__(self, *, rho: float = 1.0) -> None:
        super().__init__()
        if not rho > 0:
            raise ConfigError(f"loss.rho={rho} is out of range", "It is above 0.")
        self.rho = rho

    def hybrid_forward(self, F: Any, output: Any, target: Any) -> Any:
        """Loss (n) of outputs (n, ...) and targets (n, ...)."""
        # the operator's square ends at 1 / scalar^2
        return F.mean(F.smooth_l1(_error(F, output, target), scalar=self.rho**-0.5), axis=1)


class Hinge(mx.gluon.HybridBlock):
    """Hinge loss of a score: ``max(0, margin - t y)``, or its square.

    Targets are -1 and 1, of the output's type and shape, (n) or (n, ...); all axes but the first
    are averaged over. An output (n, 1) goes with a target (n).

    Parameters
    ----------
    margin
        The product of score and target from which on nothing is lost. 0 makes a perceptron.
    squared
        Square the loss of each score.

    Notes
    -----
    At the kink the gradient is that of the sloping side, -t: a perceptron whose weights are all
    zero has score 0, which counts as a mistake, and so leaves its start.
    """

    targets = "signs"

    def __init__(self, *, margin: float = 1.0, squared: bool = False) -> None:
        super().__init__()
        self.margin, self.squared = margin, squared

    def hybrid_forward(self, F: Any, output: Any, target: Any) -> Any:
        """Loss (n) of scores (n, ...) and signs (n, ...)."""
        # F.maximum passes the gradient on at a tie, relu does not
        loss = F.maximum(self.margin - _rows(F, output) * _rows(F, target), 0)
        return F.mean(F.square(loss) if self.squared else loss, axis=1)


class Logistic(mx.gluon.HybridBlock):
    """Cross-entropy between targets and the logistic function of logits::

        loss = t log(1 + exp(-y)) + (1 - t) log(1 + exp(y)) = log(1 + exp(y)) - t y

    Targets are 0 and 1, or probabilities between them, of the output's type and shape, (n) or
    (n, ...); all axes but the first are averaged over. An output (n, 1) goes with a target (n).

    Notes
    -----
    Finite for logits of any size. In float32 on CPU MXNet's softplus (oneDNN) is right to about
    2e-6, so a loss can be that little below 0. At 0 the gradient is 1/2 - t. The common form
    ``relu(y) - t y + log(1 + exp(-|y|))`` has gradient -t there instead, for MXNet takes 0 as the
    derivative of relu and of the absolute value: a model whose weights start at zero would see
    wrong gradients in its first step.
    """

    targets = "probabilities"

    def hybrid_forward(self, F: Any, output: Any, target: Any) -> Any:
        """Loss (n) of logits (n, ...) and targets (n, ...)."""
        y, t = _rows(F, output), _rows(F, target)
        return F.mean(F.Activation(y, act_type="softrelu") - t * y, axis=1)


class KL(mx.gluon.HybridBlock):
    """Kullback-Leibler divergence of the output's distribution q from the target's p.

    With the sum over the K classes of the last axis::

        loss = sum over k of p[k] (log p[k] - log q[k])

    Output and target have shape (n, K) or (n, ..., K) and the same type; targets are
    probabilities, 0 included, that sum to 1. Axes between the first and the last are averaged
    over. It is a sum over classes; Gluon's loss of the same name is their mean. In float32 on CPU
    it is right to about 5e-6, as `SoftmaxCrossEntropy` is.

    Parameters
    ----------
    output
        What the model gives: ``logits``, of which the softmax is taken, or ``log_probabilities``.
    """

    def __init__(self, *, output: Literal["logits", "log_probabilities"] = "logits") -> None:
        super().__init__()
        self.output = output

    def hybrid_forward(self, F: Any, output: Any, target: Any) -> Any:
        """Loss (n) of logits or log-probabilities (n, K) and probabilities (n, K)."""
        logs = F.log_softmax(output, axis=-1) if self.output == "logits" else output
        known = F.where(target > 0, target, F.ones_like(target))  # 0 log 0 is 0
        return _per_example(F, F.sum(target * (F.log(known) - logs), axis=-1))


def _rows(F: Any, values: Any) -> Any:
    """All but the first axis in one: (n, ...) to (n, m), and (n) to (n, 1)."""
    return F.reshape(values, shape=(0, -1))


def _error(F: Any, output: Any, target: Any) -> Any:
    return _rows(F, output) - _rows(F, target)


def _per_example(F: Any, values: Any) -> Any:
    """The mean over all axes but the first: (n, ...) to (n)."""
    return F.mean(_rows(F, values), axis=1)
