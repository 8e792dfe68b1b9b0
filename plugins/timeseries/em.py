"""Learning a linear dynamical system by expectation-maximization (Shumway and Stoffer 1982).

Holds the two steps as pure functions; the loop, its stopping rule and initial guess are a task's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.plugins.timeseries.kalman import System, filter, observed_and_mask
from dope.plugins.timeseries.smoother import smooth

LEARNABLE = System._fields


class Statistics(NamedTuple):
    """Expected sufficient statistics under the current system, summed over series and time.

    Float64 NDArrays that add up over shards. The residuals ``q_t = h_{t+1} - A h_t`` and
    ``r_t = v_t - B h_t`` stand where textbooks have the raw moments: the same maximum, without
    the cancellation of large sums.
    """

    transitions: Any  # (1,) how many
    hh_before: Any  # (H, H) sum of E[h_t h_t'] over t < T
    qh: Any  # (H, H) sum of E[q_t h_t']
    qq: Any  # (H, H) sum of E[q_t q_t']
    observations: Any  # (1,) steps with at least one observed component
    hh: Any  # (H, H) sum of E[h_t h_t'] over these steps
    rh: Any  # (D, H) sum of E[r_t h_t']
    rr: Any  # (D, D) sum of E[r_t r_t']
    series: Any  # (1,) how many
    first: Any  # (H,) sum of E[h_1] - mu0
    first_square: Any  # (H, H) sum of E[(h_1 - mu0)(h_1 - mu0)']
    log_likelihood: Any  # (1,) of the system that the statistics were taken under


def e_step_statistics(v: Any, system: System) -> Statistics:
    """Expected statistics of observations ``v`` (N, T, D), NaN where missing, under ``system``.

    Missing components of a partly observed vector enter with their conditional mean and
    covariance given the state and the observed ones; vectors without any observation are left
    out of the emission's sums, which is exact and converges faster.

    Raises
    ------
    ConfigError, DataError
        As in `kalman.filter`.
    """
    system = System(*system)
    filtered = filter(v, *system)
    mean, cov, cross = (x.astype("float64") for x in smooth(filtered, system.A, system.S_h))
    wide = System(*(x.astype("float64") for x in system))
    deviation = mean[:, 0] - wide.mu0.expand_dims(0)
    first = (
        _count(mean.shape[0], mean),
        deviation.sum(axis=0),
        _outer(deviation, deviation) + cov[:, 0].sum(axis=0),
    )
    transition = _transition_statistics(mean, cov, cross, wide.A)
    emission = _emission_statistics(v, mean, cov, wide)
    total = filtered.log_likelihood.astype("float64").sum().reshape((1,))
    return Statistics._make((*transition, *emission, *first, total))


def _transition_statistics(mean: Any, cov: Any, cross: Any, A: Any) -> tuple[Any, ...]:
    N, T = mean.shape[:2]
    if T == 1:
        nothing = mx.nd.zeros_like(A)
        return _count(0, mean), nothing, nothing, nothing
    before, after = mean[:, : T - 1], mean[:, 1:]
    V, V_after = cov[:, : T - 1].sum(axis=(0, 1)), cov[:, 1:].sum(axis=(0, 1))
    C = cross.sum(axis=(0, 1))  # sum of Cov(h_{t+1}, h_t): (H, H)
    q = after - mx.nd.dot(before, A, transpose_b=True)  # (N, T-1, H)
    C_q = C - mx.nd.dot(A, V)  # sum of Cov(q_t, h_t)
    V_q = V_after - mx.nd.dot(A, C.T) - mx.nd.dot(C_q, A.T)
    return (
        _count(N * (T - 1), mean),
        _outer(before, before) + V,
        _outer(q, before) + C_q,
        _outer(q, q) + V_q,
    )


def _emission_statistics(v: Any, mean: Any, cov: Any, system: System) -> tuple[Any, ...]:
    """Sums over the steps with an observation, one pattern of missing components at a time."""
    D, H = system.B.shape
    ctx = mean.context
    values, mask = observed_and_mask(v)
    error = mx.nd.array(values, dtype="float64", ctx=ctx) - mx.nd.dot(mean, system.B.T)
    hh, rh, rr = (mx.nd.zeros(s, dtype="float64", ctx=ctx) for s in ((H, H), (D, H), (D, D)))
    S_v = system.S_v.asnumpy()
    patterns, which = np.unique(mask.reshape(-1, D) > 0, axis=0, return_inverse=True)
    total = 0
    for index, observed in enumerate(patterns):
        if not observed.any():
            continue
        chosen = (which == index).reshape(mask.shape[:2])
        total += int(chosen.sum())
        w = mx.nd.array(chosen, dtype="float64", ctx=ctx)
        G, Q = (mx.nd.array(x, dtype="float64", ctx=ctx) for x in _regression(S_v, observed))
        x = mean * w.expand_dims(2)  # (N, T, H)
        V = (cov * w.reshape((0, 0, 1, 1))).sum(axis=(0, 1))
        r = mx.nd.dot(error * w.expand_dims(2), G.T)  # E[r_t]: (N, T, D)
        G_B = mx.nd.dot(G, system.B)
        C_r = -mx.nd.dot(G_B, V)  # sum of Cov(r_t, h_t)
        hh = hh + _outer(x, x) + V
        rh = rh + _outer(r, x) + C_r
        rr = rr + _outer(r, r) - mx.nd.dot(C_r, G_B.T) + Q * float(chosen.sum())
    return _count(total, mean), hh, rh, rr


def _regression(S_v: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How the noise of all components follows from that of the observed ones.

    Returns ``G`` and ``Q`` (D, D) such that the noise, given its observed components, has mean
    ``G noise`` (columns of missing components are zero) and covariance ``Q``.
    """
    o = np.flatnonzero(observed)
    m = np.flatnonzero(~observed)
    G, Q = np.diag(observed.astype(np.float64)), np.zeros_like(S_v)
    G[np.ix_(m, o)] = S_v[np.ix_(m, o)] @ np.linalg.pinv(S_v[np.ix_(o, o)], hermitian=True)
    Q[np.ix_(m, m)] = S_v[np.ix_(m, m)] - G[np.ix_(m, o)] @ S_v[np.ix_(o, m)]
    return G, Q


def add(shards: Iterable[Statistics]) -> Statistics:
    """Sum the statistics of shards that may live on several contexts, on the first one's."""
    first, *others = shards
    for other in others:
        moved = (x.as_in_context(y.context) for x, y in zip(other, first))
        first = Statistics(*(x + y for x, y in zip(first, moved)))
    return first


def m_step(statistics: Statistics, system: System, learn: Sequence[str] = LEARNABLE) -> System:
    """The system that maximizes the expected log-likelihood.

    Parameters
    ----------
    statistics
        From `e_step_statistics` under ``system``, summed over all shards with `add`.
    system
        The current system: the reference point of the statistics, and the source of parameters
        that are not learned. The result has its types and contexts.
    learn
        Names of the parameters to learn, any of ``A B S_h S_v mu0 S0``.

    Raises
    ------
    ConfigError
        A name in ``learn`` is not a parameter.
    """
    unknown = sorted(set(learn) - set(LEARNABLE))
    if unknown:
        raise ConfigError(
            f"'{unknown[0]}' is not a parameter of the system", f"Choose from {LEARNABLE}."
        )
    s = Statistics(*(x.asnumpy() for x in statistics))
    old = System(*(x.asnumpy().astype(np.float64) for x in system))
    new = old._asdict()
    for weight, noise, sums in (
        ("A", "S_h", (s.qq, s.qh, s.hh_before, s.transitions)),
        ("B", "S_v", (s.rr, s.rh, s.hh, s.observations)),
    ):
        if sums[-1] > 0:  # else nothing was seen of it: keep what is there
            change, new[noise] = _regress(*sums, refit=weight in learn)
            new[weight] = new[weight] + change
    shift = s.first / s.series if "mu0" in learn else np.zeros_like(s.first)
    new["mu0"] = old.mu0 + shift
    drift = np.outer(s.first, shift) / s.series
    new["S0"] = s.first_square / s.series - drift - drift.T + np.outer(shift, shift)
    return System(
        *(
            mx.nd.array(new[name], dtype=x.dtype, ctx=x.context) if name in learn else x
            for name, x in zip(LEARNABLE, system)
        )
    )


def _regress(
    rr: np.ndarray, rh: np.ndarray, hh: np.ndarray, count: np.ndarray, refit: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Change of the weights, and covariance of what then remains of the residuals."""
    change = rh @ np.linalg.pinv(hh, hermitian=True) if refit else np.zeros_like(rh)
    explained = change @ rh.T
    cov = rr - explained - explained.T + change @ hh @ change.T
    return change, (cov + cov.T) / (2 * count)


def _count(number: float, like: Any) -> Any:
    return mx.nd.full((1,), number, dtype="float64", ctx=like.context)


def _outer(x: Any, y: Any) -> Any:
    """Sum of x y' over all leading axes: (..., a), (..., b) to (a, b)."""
    return mx.nd.dot(x.reshape((-1, x.shape[-1])), y.reshape((-1, y.shape[-1])), transpose_a=True)
