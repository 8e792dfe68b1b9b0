"""What dope's innovation models are measured against: statsmodels' state-space filter.

Holds no tests, and nothing of dope's own but the matrices of a structure.
"""

from __future__ import annotations

import numpy as np
import pytest


class Peer:
    """One series under one structure in statsmodels, with an exactly diffuse initial state.

    The states are y with x = [C, e_H] y, C from free initial values to the initial state: the
    first H0 are diffuse, the last (where there is a season) is 0, as the season sums to zero.
    """

    def __init__(self, structure, z, level_damping=1.0, trend_damping=1.0, kappa=None):
        from statsmodels.tsa.statespace.initialization import Initialization
        from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

        self.structure, self.count = structure, int((~np.isnan(z)).sum())
        size, free = structure.size, structure.free
        self.basis = np.hstack([structure.free_to_state(), np.eye(size)[:, free:]])  # x = basis y
        back = np.linalg.inv(self.basis)
        damping = level_damping, trend_damping
        self.model = model = KalmanSmoother(k_endog=1, k_states=size, k_posdef=1)
        model.tolerance = 0
        model.bind(np.ascontiguousarray(z, float)[:, None])
        model["design"] = structure.emission(*damping)[None] @ self.basis
        model["transition"] = back @ structure.transition(*damping) @ self.basis
        self.back, self.kappa = back, kappa
        if kappa is None:
            start = Initialization(size)
            start.set((0, free), "diffuse")
            if size > free:
                start.set((free, size), "known", constant=[0.0], stationary_cov=[[0.0]])
            model.initialize(start)
        else:
            model.initialize_known(
                np.zeros(size), kappa * np.diag(np.arange(size) < free).astype(float)
            )

    def known(self, initial):
        """Start from this state and no other."""
        size = self.structure.size
        self.model.initialize_known(self.back @ initial, np.zeros((size, size)))
        return self

    def set(self, ratios, sigma):
        g = self.structure.innovation_vector(np.asarray(ratios, float))
        self.model["selection"] = (self.back @ g)[:, None]
        self.model["state_cov"] = np.array([[float(sigma) ** 2]])
        self.model["obs_cov"] = np.array([[float(sigma) ** 2]])
        return self.model

    def log_likelihood(self, ratios, sigma, marginal=True):
        """In nats; of a flat prior of density 1 on the free initial values where ``marginal``."""
        found = self.set(ratios, sigma).loglike()
        prior = 2 * np.pi * (self.kappa or 1.0)
        return found + marginal * 0.5 * self.structure.free * np.log(prior)

    def profile(self, ratios):
        """The marginal likelihood at its maximum over sigma: it is known from two values of it."""
        n = self.count - self.structure.free
        one, two = (self.log_likelihood(ratios, s) for s in (1.0, np.sqrt(2.0)))
        squares = 4 * (two - one + 0.5 * n * np.log(2.0))
        return one + 0.5 * squares - 0.5 * n * (np.log(squares / n) + 1)

    def maximum(self, starts):
        """The largest profile likelihood that SciPy finds over the logarithms of the strengths."""
        from scipy.optimize import minimize

        def loss(logs):
            return -self.profile(np.exp(logs))

        bounds = [(-14, 8)] * len(starts[0])
        tries = [minimize(loss, s, method="L-BFGS-B", bounds=bounds) for s in starts]
        best = min(tries, key=lambda found: found.fun)
        polished = minimize(loss, best.x, method="Nelder-Mead", options={"xatol": 1e-3})
        return -min(best.fun, polished.fun)


@pytest.fixture(scope="session")
def peer():
    """The class `Peer`; tests that ask for it are left out where statsmodels is not installed."""
    pytest.importorskip("statsmodels")
    return Peer


@pytest.fixture
def one_thread():
    """Each operator on one thread, as the task runs it: quick on a busy machine too."""
    from dope.core.backend import use_threads

    use_threads(1)
    yield
    use_threads(None)
