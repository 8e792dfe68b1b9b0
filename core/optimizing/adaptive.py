"""Options of the optimizers that scale each component of the gradient by its past.

Names, defaults and meanings only; the arithmetic is MXNet's.
"""

from __future__ import annotations

from typing import Optional

from dope.core.errors import ConfigError
from dope.core.optimizing.descent import OptimizerOptions


class Adam(OptimizerOptions):
    """Adam: steps scaled by running means of the gradient and its square (arXiv:1412.6980).

    Parameters
    ----------
    learning_rate
        Step length, about the largest change of a parameter in one step.
    beta1, beta2
        Decay per step of the running mean of the gradient, and of its square.
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
        self._keep(locals())


class Lamb(OptimizerOptions):
    """LAMB: Adam's step, as long as each parameter array's norm asks for (arXiv:1904.00962).

    Parameters
    ----------
    learning_rate
        Share of its own norm by which an array moves in a step.
    beta1, beta2
        Decay per step of the running mean of the gradient, and of its square.
    lower_bound, upper_bound
        Limits to the norm of an array as the rule sees it; null sets none.
    bias_correction
        Undo that the running means start from 0.
    wd
        Weight decay: this times the parameter is added to its step before that is scaled.
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        lower_bound: Optional[float] = None,
        upper_bound: Optional[float] = None,
        bias_correction: bool = True,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(locals())
        if lower_bound and upper_bound and lower_bound > upper_bound:
            raise ConfigError(
                f"optimizer.lower_bound={lower_bound} is above upper_bound={upper_bound}",
                "Exchange them.",
            )


class Ftml(OptimizerOptions):
    """FTML: Adam's scaling as a moving leader that late gradients sway more (Zheng, Kwok 2017).

    Parameters
    ----------
    beta1, beta2
        Decay per step of the leader's mean, and of the mean square gradient.
    """

    may_be_zero = ("wd",)

    def __init__(
        self,
        *,
        learning_rate: float = 0.01,
        beta1: float = 0.6,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(locals())


class Ftrl(OptimizerOptions):
    """FTRL-Proximal: sparse weights for linear models (McMahan 2013).

    It solves for the weights anew in each step, and forgets what they were initialized with.

    Parameters
    ----------
    learning_rate
        Step length before the division; the paper's α.
    lamda1
        Strength of the L1 penalty: weights whose sum of gradients is smaller are exactly 0.
    beta
        Added to the root of the sum of squared gradients.
    wd
        Strength of the L2 penalty.
    """

    may_be_zero = ("wd", "lamda1")

    def __init__(
        self,
        *,
        learning_rate: float = 0.1,
        lamda1: float = 0.01,
        beta: float = 1.0,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(locals())


class Adagrad(OptimizerOptions):
    """AdaGrad: each parameter's step shrinks with the sum of its squared gradients (Duchi 2011).

    Parameters
    ----------
    eps
        Added to the sum of squares, against division by nearly 0.
    wd
        Weight decay: this times the parameter is added to its step.
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.01,
        eps: float = 1e-7,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(locals())


class AdaDelta(OptimizerOptions):
    """AdaDelta: steps as long as the last ones were; it has no learning rate (arXiv:1212.5701).

    Parameters
    ----------
    rho
        Decay per step of the running means of the squared gradient and of the squared step.
    epsilon
        Added to both means under their roots; it sets the length of the first steps.
    wd
        Share of a parameter that each step takes away.
    """

    def __init__(
        self,
        *,
        rho: float = 0.9,
        epsilon: float = 1e-5,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
    ) -> None:
        self._keep(locals())


class RmsProp(OptimizerOptions):
    """RMSProp: steps scaled by a running mean of the squared gradient (Tieleman, Hinton 2012).

    Parameters
    ----------
    gamma1
        Decay per step of the running mean of the squared gradient.
    gamma2
        Share of the last step that is kept in the next, when centered.
    epsilon
        Added under the root, against division by nearly 0.
    centered
        Divide by the running deviation of the gradient from its mean (arXiv:1308.0850).
    clip_weights
        Parameters are cut to ±this after each step; null does not cut.
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.001,
        gamma1: float = 0.9,
        gamma2: float = 0.9,
        epsilon: float = 1e-8,
        centered: bool = False,
        wd: float = 0.0,
        clip_gradient: Optional[float] = None,
        clip_weights: Optional[float] = None,
    ) -> None:
        self._keep(locals())
