"""Options of the optimizers that follow the gradient itself, and what all options share.

Those that scale each component by its past are in ``adaptive.py``; no arithmetic is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from dope.core.errors import ConfigError

_SHARES = ("beta1", "beta2", "gamma1", "gamma2", "momentum", "rho")


class OptimizerOptions:
    """Options as attributes, and the checks that they share; what differs is the signature.

    Parameters
    ----------
    learning_rate
        Step length, before what the optimizer itself scales it with.
    momentum
        Share of the last step that is kept in the next; 0 keeps none.
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

    may_be_zero: tuple[str, ...] = ("learning_rate", "wd")

    def _keep(self, given: Mapping[str, Any]) -> None:
        options = {name: value for name, value in given.items() if name != "self"}
        for name, value in options.items():
            if value is None or isinstance(value, bool):
                continue
            if name in _SHARES:
                good, wanted = 0 <= value < 1, "at least 0 and below 1"
            elif name in self.may_be_zero:
                good, wanted = value >= 0, "at least 0"
            else:
                good, wanted = value > 0, "above 0"
            if not good:
                raise ConfigError(f"optimizer.{name}={value} is out of range", f"It is {wanted}.")
        vars(self).update(options)

    def options(self) -> dict[str, Any]:
        """All options by name, which are MXNet's names for them."""
        return dict(vars(self))


class Sgd(OptimizerOptions):
    """Stochastic gradient descent, with momentum when asked for.

    Parameters
    ----------
    learning_rate
        Step length: the parameters move by this times the mean gradient per example.
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(locals())


class Nag(Sgd):
    """Nesterov's accelerated gradient: momentum looks one step ahead (Sutskever 2013).

    Parameters
    ----------
    momentum
        Share of the last step that is kept in the next; 0 is plain descent.
    """


class Signum(OptimizerOptions):
    """Signum: steps of one length, by the sign of the running mean gradient (arXiv:1802.04434).

    Parameters
    ----------
    learning_rate
        Length of each parameter's step.
    momentum
        Decay per step of the running mean of the gradient; 0 takes the gradient's own sign.
    wd
        Weight decay: this times the parameter is added to its gradient before the mean; without
        momentum the parameter shrinks by this times the learning rate instead.
    wd_lh
        Decoupled decay, with momentum only: a step shrinks a parameter by this times the rate.
    """

    may_be_zero = ("learning_rate", "wd", "wd_lh")

    def __init__(
        self,
        *,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        wd: float = 0.0,
        wd_lh: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(locals())
        if wd_lh and not momentum:
            raise ConfigError(
                f"optimizer.wd_lh={wd_lh} has no meaning with optimizer.momentum=0",
                "Use optimizer.wd: without momentum it is decoupled too.",
            )


class Sgld(OptimizerOptions):
    """Stochastic gradient Langevin dynamics: descent with noise, which samples (Welling 2011).

    A small step samples from the density exp(-L - wd/2·|w|²) for L the mean loss per example. The
    noise is MXNet's: each context draws its own.

    Parameters
    ----------
    learning_rate
        Variance of a step's noise; the gradient counts with half of it.
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.01,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(locals())


class Lars(OptimizerOptions):
    """LARS: momentum whose rate fits each parameter array's norm (arXiv:1708.03888).

    Parameters
    ----------
    learning_rate
        Step length, times ``eta`` and the norm of the array over that of its gradient.
    eta
        The paper's trust coefficient.
    eps
        Added to the norm of the gradient.
    momentum_correction
        Scale the momentum when the learning rate changes (arXiv:1706.02677). MXNet does so for
        the group's first array only, and not in the first step after a resumption.
    """

    may_be_zero = ("learning_rate", "wd", "eps")

    def __init__(
        self,
        *,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        eta: float = 0.001,
        eps: float = 0.0,
        momentum_correction: bool = False,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(locals())


class Bfgs(OptimizerOptions):
    """Batched quasi-Newton over the rows of the parameters: one small model fitted per row.

    For tasks whose loss of row i depends on row i of the parameters alone, such as one
    state-space model per series.

    Parameters
    ----------
    tolerance
        A row is settled when no component of its gradient is larger than this.
    max_step
        Longest change of a row's parameters in one step, in their own units.
    """

    def __init__(self, *, tolerance: float = 0.01, max_step: float = 2.0) -> None:
        self._keep(locals())
