"""Gaussian linear dynamical systems, batched over series: filter, sample, forecast.

Holds the mathematics only: no task, no data set, no optimizer; the smoother is in
``smoother.py``, learning by EM in ``em.py``.

The model of each of ``N`` series that share one system, with a state of ``H`` and observations of
``D`` components, in the timing of Durbin and Koopman (2012, section 4.3)::

    h_1     ~ N(mu0, S0)                        the prior of the state at the first observation
    v_t     = B h_t + nu_t,    nu_t  ~ N(0, S_v)
    h_{t+1} = A h_t + eps_t,   eps_t ~ N(0, S_h)

Arrays are MXNet NDArrays, float32 or float64; results follow the type and context of ``A``.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from dope.core.backend import mx
from dope.core.errors import ConfigError, DataError


class System(NamedTuple):
    """The parameters of a linear dynamical system, in the order that every function takes them."""

    A: Any  # (H, H) transition
    B: Any  # (D, H) emission
    S_h: Any  # (H, H) covariance of the transition noise, may be singular
    S_v: Any  # (D, D) covariance of the observation noise
    mu0: Any  # (H,) mean of the first state
    S0: Any  # (H, H) covariance of the first state, may be singular or zero


class Filtered(NamedTuple):
    """What ``filter`` knows of the states, given the observations so far."""

    predicted_mean: Any  # (N, T, H) given v_1 .. v_{t-1}
    predicted_cov: Any  # (N, T, H, H)
    mean: Any  # (N, T, H) given v_1 .. v_t
    cov: Any  # (N, T, H, H)
    log_likelihood: Any  # (N,) log p(v_1 .. v_T), natural logarithm, observed components only


class Forecast(NamedTuple):
    """Predictive distribution of the observations after the last one."""

    mean: Any  # (N, horizon, D)
    cov: Any  # (N, horizon, D, D); its diagonal holds variances, not standard deviations


def observed_and_mask(v: Any) -> tuple[np.ndarray, np.ndarray]:
    """Separate the values of a series from the question whether they were observed.

    A NaN times zero is NaN, in gradients too, so no NaN may reach the recorded arithmetic.

    Parameters
    ----------
    v
        Observations of any shape, NumPy or NDArray, NaN where missing.

    Returns
    -------
    values, mask
        The observations with zero where missing; one where observed and zero where missing.

    Raises
    ------
    DataError
        An observation is infinite.
    """
    values = _host(v)
    if np.isinf(values).any():
        where = tuple(int(i) for i in np.argwhere(np.isinf(values))[0])
        raise DataError(f"observation {where} is infinite", "Write NaN for a missing observation.")
    observed = ~np.isnan(values)
    return np.where(observed, values, 0.0), observed.astype(values.dtype)


class _Recursion(mx.gluon.HybridBlock):
    """The forward pass over time, with any step outputs that a subclass asks for.

    Parameters
    ----------
    length
        ``None`` loops with ``foreach`` and takes series of any length. A number unrolls that many
        steps: 1.3 to 2 times faster once hybridized, but the first call costs more (about 0.1 s
        for 50 steps, 1.3 s for 200, growing with the square) and the length is then fixed.
    """

    def __init__(self, length: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._length = length

    def forward(self, values: Any, *others: Any) -> Any:
        if isinstance(values, mx.nd.NDArray) and self._length not in (None, values.shape[1]):
            raise ConfigError(
                f"a filter unrolled for {self._length} steps was given {values.shape[1]}",
                "Build it with the length of the series, or with length=None.",
            )
        return super().forward(values, *others)

    def _steps(
        self, F: Any, values: Any, mask: Any, system: System, everything: bool
    ) -> tuple[Any, ...]:
        """Per-step log densities (T, N); before it, if ``everything``, the four moments."""
        y = F.transpose(values, axes=(1, 0, 2))  # (T, N, D)
        m = F.transpose(mask, axes=(1, 0, 2))
        both = F.broadcast_mul(F.expand_dims(m, 3), F.expand_dims(m, 2))  # (T, N, D, D)
        gap = F.linalg.makediag(1 - m)
        eye = F.expand_dims(F.linalg.makediag(F.ones_like(system.mu0)), 0)  # (1, H, H)

        def body(inputs: list[Any], state: list[Any]) -> tuple[list[Any], list[Any]]:
            mean, cov, density = _update(F, inputs, state, eye, system)
            kept = [*state, mean, cov, density] if everything else [density]
            return kept, list(_predict(F, mean, cov, system))

        per_series = {"lhs_axes": (0,), "rhs_axes": (0,)}
        state = [
            F.broadcast_like(F.expand_dims(system.mu0, 0), values, **per_series),  # (N, H)
            F.broadcast_like(F.expand_dims(system.S0, 0), values, **per_series),  # (N, H, H)
        ]
        if self._length is None:
            return tuple(F.contrib.foreach(body, [y, m, both, gap], state)[0])
        outputs = []
        for t in range(self._length):
            inputs = [
                F.reshape(F.slice_axis(x, axis=0, begin=t, end=t + 1), shape=(-3, -2))
                for x in (y, m, both, gap)
            ]
            kept, state = body(inputs, state)
            outputs.append(kept)
        return tuple(F.stack(*parts, axis=0) for parts in zip(*outputs))


class KalmanLogLikelihood(_Recursion):
    """Log-likelihood (N,) of each series, differentiable in every parameter of the system.

    Call it with ``(values, mask, A, B, S_h, S_v, mu0, S0)``; ``values`` and ``mask`` (N, T, D)
    come from `observed_and_mask`. Each predictive covariance ``B P B' + S_v`` must be positive
    definite in its observed components. Gradients of the covariances treat them as symmetric.
    """

    def hybrid_forward(self, F: Any, values: Any, mask: Any, *system: Any) -> Any:
        (density,) = self._steps(F, values, mask, System(*system), everything=False)
        return F.sum(density, axis=0) - _log_normaliser(F, mask)


class KalmanFilter(_Recursion):
    """Predicted and filtered moments and log-likelihood, the parts of `Filtered` in its order.

    Called like `KalmanLogLikelihood`.
    """

    def hybrid_forward(self, F: Any, values: Any, mask: Any, *system: Any) -> tuple[Any, ...]:
        *moments, density = self._steps(F, values, mask, System(*system), everything=True)
        by_series = [
            F.transpose(x, axes=axes)
            for x, axes in zip(moments, [(1, 0, 2), (1, 0, 2, 3)] * 2)  # (N, T, H[, H])
        ]
        return (*by_series, F.sum(density, axis=0) - _log_normaliser(F, mask))


def _log_normaliser(F: Any, mask: Any) -> Any:
    return F.sum(mask, axis=(1, 2)) * (0.5 * math.log(2 * math.pi))


def _update(
    F: Any, inputs: list[Any], state: list[Any], eye: Any, system: System
) -> tuple[Any, Any, Any]:
    """Condition the predicted state on one observation (Durbin and Koopman 2012, section 4.3).

    A missing component gets a zero row in B, and a one of its own in the innovation covariance:
    its gain, its part of the quadratic form and its log-determinant are then exactly zero.
    """
    y, m, both, gap = inputs  # (N, D), (N, D), (N, D, D), (N, D, D)
    mean, cov = state  # (N, H), (N, H, H)
    P_B = F.dot(cov, system.B, transpose_b=True)  # P B': (N, H, D)
    B_P_B = F.dot(F.transpose(P_B, axes=(0, 2, 1)), system.B, transpose_b=True)  # (N, D, D)
    S = F.broadcast_add(B_P_B, F.expand_dims(system.S_v, 0)) * both + gap
    P_B = F.broadcast_mul(P_B, F.expand_dims(m, 1))
    error = (y - F.dot(mean, system.B, transpose_b=True)) * m  # (N, D)

    L = F.linalg.potrf(S)
    whitened = F.linalg.trsm(L, P_B, transpose=True, rightside=True)  # P B' L'^-1: (N, H, D)
    z = F.linalg.trsm(L, F.expand_dims(error, 2))  # L^-1 error: (N, D, 1)
    K = F.linalg.trsm(L, whitened, rightside=True)  # the gain P B' S^-1: (N, H, D)

    new_mean = mean + F.reshape(F.linalg.gemm2(whitened, z), shape=(0, -1))
    X = F.broadcast_sub(eye, F.dot(K, system.B))  # I - K B
    # Joseph form: a sum of two squares cannot lose its positive sign to rounding.
    new_cov = F.linalg.gemm2(F.linalg.gemm2(X, cov), X, transpose_b=True) + F.linalg.gemm2(
        F.dot(K, system.S_v), K, transpose_b=True
    )
    density = -0.5 * F.sum(F.square(z), axis=(1, 2)) - F.linalg.sumlogdiag(L)
    return new_mean, new_cov, density


def _predict(F: Any, mean: Any, cov: Any, system: System) -> tuple[Any, Any]:
    """Moments (N, H), (N, H, H) of the next state."""
    P_A = F.dot(cov, system.A, transpose_b=True)  # P A'; its transpose is A P, for P = P'
    A_P_A = F.dot(F.transpose(P_A, axes=(0, 2, 1)), system.A, transpose_b=True)
    return (
        F.dot(mean, system.A, transpose_b=True),
        F.broadcast_add(A_P_A, F.expand_dims(system.S_h, 0)),
    )


@functools.lru_cache(maxsize=1)
def _compiled_filter() -> KalmanFilter:
    block = KalmanFilter()
    block.hybridize()
    return block


def filter(v: Any, A: Any, B: Any, S_h: Any, S_v: Any, mu0: Any, S0: Any) -> Filtered:
    """Kalman filter of a batch of series, with missing observations.

    Parameters
    ----------
    v
        Observations (N, T, D), NumPy or NDArray, NaN where missing. A vector that is missing
        entirely skips the update, one that is missing in part uses the components it has.
    A, B, S_h, S_v, mu0, S0
        The system, see `System`. With a vague prior (``S0`` a million times ``S_v``) float32
        keeps three digits of the mean; use float64 there.

    Raises
    ------
    ConfigError
        Shapes that do not fit together, or a ``B P B' + S_v`` that is not positive definite.
    DataError
        An observation is infinite.
    """
    system = System(A, B, S_h, S_v, mu0, S0)
    _check_shapes(np.shape(v), system)
    values, mask = (
        mx.nd.array(part, dtype=A.dtype, ctx=A.context) for part in observed_and_mask(v)
    )
    try:
        filtered = Filtered(*_compiled_filter()(values, mask, *system))
        filtered.log_likelihood.wait_to_read()  # the threaded engine reports errors only here
        return filtered
    except mx.base.MXNetError as error:
        if "potrf" not in str(error):
            raise
        raise ConfigError(
            "the covariance of the next observation is not positive definite",
            "S_v, S_h and S0 must be covariances; a small multiple of the identity added to S_v "
            "helps.",
        ) from error


def sample(
    rng: np.random.Generator,
    A: Any,
    B: Any,
    S_h: Any,
    S_v: Any,
    mu0: Any,
    S0: Any,
    n: int,
    length: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``n`` series of ``length`` steps from the system (NumPy or NDArray parameters).

    Returns
    -------
    states, observations
        NumPy arrays (n, length, H) and (n, length, D), float64.
    """
    A, B, S_h, S_v, mu0, S0 = (_host(x).astype(np.float64) for x in (A, B, S_h, S_v, mu0, S0))
    D, H = B.shape
    states = np.empty((n, length, H))
    shocks = rng.standard_normal((n, length, H)) @ _factor(S_h).T
    noise = rng.standard_normal((n, length, D)) @ _factor(S_v).T
    state = mu0 + rng.standard_normal((n, H)) @ _factor(S0).T
    for t in range(length):
        states[:, t] = state
        state = state @ A.T + shocks[:, t]
    return states, states @ B.T + noise


def _factor(S: np.ndarray) -> np.ndarray:
    """C with C C' = S, for covariances that may be singular, where Cholesky would refuse."""
    eigenvalues, U = np.linalg.eigh(S)
    return U * np.sqrt(np.maximum(eigenvalues, 0.0))


def forecast(mean: Any, cov: Any, A: Any, B: Any, S_h: Any, S_v: Any, horizon: int) -> Forecast:
    """Distribution of the ``horizon`` observations that follow the last one.

    Parameters
    ----------
    mean, cov
        The last filtered moments, (N, H) and (N, H, H). The first transition is applied to them.
        Arrays or, with the system, symbols.
    A, B, S_h, S_v
        The system, see `System`.
    horizon
        Number of steps, at least 1.

    Raises
    ------
    ConfigError
        The horizon is below 1.
    """
    if horizon < 1:
        raise ConfigError(f"a forecast of {horizon} steps was asked for", "Use a horizon >= 1.")
    system = System(A, B, S_h, S_v, None, None)
    F = mx.sym if isinstance(mean, mx.sym.Symbol) else mx.nd
    means, covs = [], []
    for _ in range(horizon):
        mean, cov = _predict(F, mean, cov, system)
        P_B = F.dot(cov, B, transpose_b=True)  # (N, H, D)
        means.append(F.dot(mean, B, transpose_b=True))
        made = F.dot(F.transpose(P_B, axes=(0, 2, 1)), B, transpose_b=True)
        covs.append(F.broadcast_add(made, F.expand_dims(S_v, axis=0)))
    return Forecast(F.stack(*means, axis=1), F.stack(*covs, axis=1))


def _host(x: Any) -> np.ndarray:
    array = x.asnumpy() if hasattr(x, "asnumpy") else np.asarray(x)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _check_shapes(shape: tuple[int, ...], system: System) -> None:
    """Raise ConfigError where MXNet would speak of a failed check in C++."""
    if len(shape) != 3:
        raise ConfigError(
            f"observations of shape {shape} were given", "Give (series, time, components)."
        )
    D, H = shape[2], system.A.shape[0]
    expected = System((H, H), (D, H), (H, H), (D, D), (H,), (H, H))
    for name, array, wanted in zip(System._fields, system, expected):
        if array.shape != wanted:
            raise ConfigError(
                f"{name} has shape {array.shape}, but {H} states and {D} observed components "
                f"need {wanted}",
                "Check the shapes of A and of the observations.",
            )
