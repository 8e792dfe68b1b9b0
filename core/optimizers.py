"""The options of the optimizers that ``optimizer=NAME`` may name, as light classes.

Holds names, defaults and meanings; the arithmetic is MXNet's, or the engine's for ``bfgs``.
"""

from __future__ import annotations

from typing import Optional

from dope.core.errors import ConfigError

OPTIMIZERS: dict[str, str] = {
    "adagrad": "dope.core.optimizers:Adagrad",
    "adam": "dope.core.optimizers:Adam",
    "bfgs": "dope.core.optimizers:Bfgs",
    "rmsprop": "dope.core.optimizers:RmsProp",
    "sgd": "dope.core.optimizers:Sgd",
}


class _Optimizer:
    """Options as attributes, and the checks that they share; what differs is the signature."""

    def _keep(self, **options: Optional[float]) -> None:
        for name, value in options.items():
            if value is None:
                continue
            if name in ("beta1", "beta2", "gamma1", "gamma2", "momentum"):
                good, wanted = 0 <= value < 1, "at least 0 and below 1"
            elif name in ("learning_rate", "wd"):
                good, wanted = value >= 0, "at least 0"
            else:
                good, wanted = value > 0, "above 0"
            if not good:
                raise ConfigError(f"optimizer.{name}={value} is out of range", f"It is {wanted}.")
        vars(self).update(options)

    def options(self) -> dict[str, Optional[float]]:
        """All options by name, which are MXNet's names for them."""
        return dict(vars(self))


class Sgd(_Optimizer):
    """Stochastic gradient descent, with momentum when asked for.

    Parameters
    ----------
    learning_rate
        Step length: the parameters move by this times the mean gradient per example.
    momentum
        Share of the last step that is kept in the next; 0 is plain descent.
    wd
        Weight decay: this times the parameter is added to its gradient.
    clip_gradient
        Each component of the mean gradient is cut to ±this; null does not cut.

    Raises
    ------
    ConfigError
        A value is out of its range.
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(
            learning_rate=learning_rate, momentum=momentum, wd=wd, clip_gradient=clip_gradient
        )


class Adam(_Optimizer):
    """Adam: steps scaled by running means of the gradient and its square (arXiv:1412.6980).

    Parameters
    ----------
    learning_rate
        Step length, about the largest change of a parameter in one step.
    beta1, beta2
        Decay per step of the running mean of the gradient, and of its square.
    epsilon
        Added to the root of the mean square, against division by nearly 0.
    wd
        Weight decay: this times the parameter is added to its gradient.
    clip_gradient
        Each component of the mean gradient is cut to ±this; null does not cut.

    Raises
    ------
    ConfigError
        A value is out of its range.
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            wd=wd,
            clip_gradient=clip_gradient,
        )


class Adagrad(_Optimizer):
    """AdaGrad: each parameter's step shrinks with the sum of its squared gradients (Duchi 2011).

    Parameters
    ----------
    learning_rate
        Step length before the division.
    eps
        Added to the sum of squares, against division by nearly 0.
    wd
        Weight decay: this times the parameter is added to its step.
    clip_gradient
        Each component of the mean gradient is cut to ±this; null does not cut.

    Raises
    ------
    ConfigError
        A value is out of its range.
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.01,
        eps: float = 1e-7,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(learning_rate=learning_rate, eps=eps, wd=wd, clip_gradient=clip_gradient)


class RmsProp(_Optimizer):
    """RMSProp: steps scaled by a running mean of the squared gradient (Tieleman, Hinton 2012).

    Parameters
    ----------
    learning_rate
        Step length before the division.
    gamma1
        Decay per step of the running mean of the squared gradient.
    epsilon
        Added under the root, against division by nearly 0.
    wd
        Weight decay: this times the parameter is added to its gradient.
    clip_gradient
        Each component of the mean gradient is cut to ±this; null does not cut.

    Raises
    ------
    ConfigError
        A value is out of its range.
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.001,
        gamma1: float = 0.9,
        epsilon: float = 1e-8,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(
            learning_rate=learning_rate,
            gamma1=gamma1,
            epsilon=epsilon,
            wd=wd,
            clip_gradient=clip_gradient,
        )


class Bfgs(_Optimizer):
    """Batched quasi-Newton over the rows of the parameters: one small model fitted per row.

    For tasks whose loss of row i depends on row i of the parameters alone, such as one
    state-space model per series.

    Parameters
    ----------
    tolerance
        A row is settled when no component of its gradient is larger than this.
    max_step
        Longest change of a row's parameters in one step, in their own units.

    Raises
    ------
    ConfigError
        A value is out of its range.
    """

    def __init__(self, *, tolerance: float = 0.01, max_step: float = 2.0) -> None:
        self._keep(tolerance=tolerance, max_step=max_step)
