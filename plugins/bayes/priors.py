"""Priors over weights, and the divergence of Gaussian weights from them.

Holds formulas on arrays or symbols; no parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from dope.core.errors import ConfigError
from dope.plugins.bayes.recipe import space

Posterior = Mapping[str, tuple[Any, Any]]  # name to mean and standard deviation
Weights = Mapping[str, Any]
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Terms(NamedTuple):
    """-log p(w) = a w^2 - log(1 + exp(b w^2 + c)) + a constant; of one Gaussian b is None."""

    a: float
    b: Optional[float] = None
    c: Optional[float] = None


class Prior:
    """Independent weights of one density.

    Attributes
    ----------
    terms : Terms
        Its logarithm without the constant.
    constant : float
        That of -log p(w).
    sampled : bool
        Whether the divergence from it needs samples of the weights.
    """

    terms: Terms
    constant: float

    @property
    def sampled(self) -> bool:
        return self.terms.b is not None

    def offset(self, size: int) -> float:
        """The constant part of KL(q || p) for so many weights."""
        return size * (self.constant - 0.5 - HALF_LOG_2PI)

    def divergence(
        self, x: Any, posterior: Posterior, samples: Sequence[Weights], size: int
    ) -> Any:
        """KL(q || p), (1,): in closed form, or of -E_q[log p] the mean over samples.

        Parameters
        ----------
        x
            The inputs; says where to compute.
        posterior
            Mean and standard deviation of weights by name.
        samples
            Sets of weights drawn from it, where the prior is ``sampled``.
        size
            Number of weights.
        """
        F, (a, b, c) = space(x), self.terms
        logs = sum(_sum(F, F.log(_flat(F, sigma))) for _, sigma in posterior.values())
        if b is None:  # E_q[w^2] = mu^2 + sigma^2
            squares = sum(_square(F, mu) + _square(F, sigma) for mu, sigma in posterior.values())
            return a * squares - logs + self.offset(size)
        total: Any = 0.0
        for weights in samples:
            for w in weights.values():
                square = F.square(_flat(F, w))
                beside = F.Activation(square * b + c, act_type="softrelu")
                total = total + _sum(F, square * a - beside)
        return total / len(samples) - logs + self.offset(size)


class GaussianPrior(Prior):
    """Each weight has mean 0 and standard deviation ``sigma``.

    Raises
    ------
    ConfigError
        ``sigma`` is not above 0.
    """

    def __init__(self, sigma: float) -> None:
        positive(sigma=sigma)
        self.terms = Terms(0.5 / sigma**2)
        self.constant = math.log(sigma) + HALF_LOG_2PI


class MixturePrior(Prior):
    """Each weight comes from one of two Gaussians: Blundell et al. (2015), equation 7.

    Parameters
    ----------
    pi
        Share of the first; in (0, 1).
    sigma1, sigma2
        Standard deviations, the first the larger.

    Raises
    ------
    ConfigError
        An option is out of its range.
    """

    def __init__(self, pi: float, sigma1: float, sigma2: float) -> None:
        positive(sigma1=sigma1, sigma2=sigma2)
        if not 0 < pi < 1:
            raise ConfigError(f"task.pi={pi} is out of range", "It is between 0 and 1.")
        if sigma2 >= sigma1:
            raise ConfigError(
                f"task.sigma2={sigma2} is not below task.sigma1={sigma1}",
                "The first Gaussian is the wide one.",
            )
        # log(a + b) = log a + log(1 + b / a), with a and b the two densities times their shares:
        # no density that can vanish
        first, second = 0.5 / sigma1**2, 0.5 / sigma2**2
        odds = math.log((1 - pi) / pi * sigma1 / sigma2)
        self.terms = Terms(first, first - second, odds)
        self.constant = math.log(sigma1) - math.log(pi) + HALF_LOG_2PI


def positive(**given: float) -> None:
    """Refuse options that are not above 0."""
    for name, value in given.items():
        if not 0 < value < math.inf:
            raise ConfigError(f"task.{name}={value} is out of range", "It is above 0.")


def _flat(F: Any, x: Any) -> Any:
    return F.reshape(x, shape=(-1,))


def _sum(F: Any, flat: Any) -> Any:
    """Sum of a flat array, (1,): as a product with ones, for MXNet's sum is 15 times slower."""
    return F.dot(flat, F.ones_like(F.BlockGrad(flat)))


def _square(F: Any, x: Any) -> Any:
    """Sum of squares, (1,); differentiated through one factor only, which halves the work."""
    flat = _flat(F, x)
    fixed = F.BlockGrad(flat)
    return 2 * F.dot(fixed, flat) - F.dot(fixed, fixed)
