"""Priors over weights, and the divergence of Gaussian weights from them.

Holds formulas on arrays or symbols; no parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dope.core.errors import ConfigError
from dope.plugins.bayes.variational import space

Posterior = Mapping[str, tuple[Any, Any]]  # name to mean and standard deviation
Weights = Mapping[str, Any]


class GaussianPrior:
    """Each weight has mean 0 and standard deviation ``sigma``.

    Raises
    ------
    ConfigError
        ``sigma`` is not above 0.
    """

    sampled = False  # whether the divergence needs samples of the weights

    def __init__(self, sigma: float) -> None:
        positive(sigma=sigma)
        self.sigma = sigma

    def divergence(
        self, x: Any, posterior: Posterior, samples: Sequence[Weights], size: int
    ) -> Any:
        """KL(q || p), (1,), in closed form.

        Parameters
        ----------
        x
            The inputs; says where to compute.
        posterior
            Mean and standard deviation of weights by name.
        samples
            Not used.
        size
            Number of weights.
        """
        F = space(x)
        total = -entropy(F, posterior, size)
        squares = sum(_square(F, mu) + _square(F, sigma) for mu, sigma in posterior.values())
        # E_q[-log p] = (mu^2 + sigma^2) / (2 s^2) + log s + log(2 pi) / 2 for each weight
        constant = size * (math.log(self.sigma) + 0.5 * math.log(2 * math.pi))
        return total + squares * (0.5 / self.sigma**2) + constant


class MixturePrior:
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

    sampled = True

    def __init__(self, pi: float, sigma1: float, sigma2: float) -> None:
        positive(sigma1=sigma1, sigma2=sigma2)
        if not 0 < pi < 1:
            raise ConfigError(f"task.pi={pi} is out of range", "It is between 0 and 1.")
        if sigma2 >= sigma1:
            raise ConfigError(
                f"task.sigma2={sigma2} is not below task.sigma1={sigma1}",
                "The first Gaussian is the wide one.",
            )
        self.pi, self.sigma1, self.sigma2 = pi, sigma1, sigma2

    def divergence(
        self, x: Any, posterior: Posterior, samples: Sequence[Weights], size: int
    ) -> Any:
        """KL(q || p), (1,): -E_q[log p] as the mean over samples, the entropy of q exactly.

        Parameters
        ----------
        x, posterior, size
            As in `GaussianPrior`.
        samples
            Sets of weights drawn from the posterior.
        """
        F = space(x)
        first, second = 0.5 / self.sigma1**2, 0.5 / self.sigma2**2
        # log(a + b) = log a + log(1 + b / a), with a and b the two densities times their shares:
        # no exponential that can overflow or vanish
        odds = math.log((1 - self.pi) / self.pi * self.sigma1 / self.sigma2)
        total: Any = 0.0
        for weights in samples:
            for w in weights.values():
                square = F.square(_flat(F, w))
                beside = F.Activation(square * (first - second) + odds, act_type="softrelu")
                total = total + _sum(F, square * first - beside)
        constant = 0.5 * math.log(2 * math.pi) + math.log(self.sigma1) - math.log(self.pi)
        return total / len(samples) + size * constant - entropy(F, posterior, size)


def entropy(F: Any, posterior: Posterior, size: int) -> Any:
    """Of independent Gaussians, (1,)."""
    logs = sum(_sum(F, F.log(_flat(F, sigma))) for _, sigma in posterior.values())
    return logs + 0.5 * size * (1 + math.log(2 * math.pi))


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
    flat = _flat(F, x)
    return F.dot(flat, flat)
