"""The Rauch-Tung-Striebel smoother of Gaussian linear dynamical systems, batched over series.

Holds the backward pass only; the system and the filter that goes before it are in ``kalman.py``.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from dope.core.backend import mx
from dope.plugins.timeseries.kalman import Filtered


class Smoothed(NamedTuple):
    """What ``smooth`` knows of the states, given all observations."""

    mean: Any  # (N, T, H)
    cov: Any  # (N, T, H, H)
    cross: Any  # (N, T, H, H) Cov(h_t, h_{t-1}); zero at the first t, which has no predecessor


def smooth(filtered: Filtered, A: Any, S_h: Any) -> Smoothed:
    """Rauch-Tung-Striebel smoother: the states given all observations.

    Särkkä (2013), *Bayesian Filtering and Smoothing*, Theorem 8.2, with the covariance as a sum
    of squares and a generalised inverse, so that singular ``S_h`` and ``S0`` are allowed. Not meant
    to be differentiated.

    Parameters
    ----------
    filtered
        What `filter` returned.
    A, S_h
        The transition (H, H) and its noise covariance, the same as the filter had.
    """
    if filtered.mean.shape[1] == 1:
        return Smoothed(filtered.mean, filtered.cov, mx.nd.zeros_like(filtered.cov))
    block = _compiled_smoother(np.dtype(A.dtype).name)
    return Smoothed(*block(*filtered[:4], A, S_h))


class _Smoother(mx.gluon.HybridBlock):
    """The backward pass of `smooth`, for at least two time steps."""

    def __init__(self, dtype: str) -> None:
        super().__init__()
        self._float = np.finfo(dtype)

    def hybrid_forward(
        self, F: Any, predicted_mean: Any, predicted_cov: Any, mean: Any, cov: Any, A: Any, S_h: Any
    ) -> tuple[Any, ...]:
        gemm2 = F.linalg.gemm2
        # Time first and backwards, (T, N, ...): row 0 is the last step, row i the i-th before it.
        predicted_mean, mean = (
            F.reverse(F.transpose(x, axes=(1, 0, 2)), axis=0) for x in (predicted_mean, mean)
        )
        predicted_cov, cov = (
            F.reverse(F.transpose(x, axes=(1, 0, 2, 3)), axis=0) for x in (predicted_cov, cov)
        )
        m, P = (F.slice_axis(x, axis=0, begin=1, end=None) for x in (mean, cov))
        m_next, P_next = (
            F.slice_axis(x, axis=0, begin=0, end=-1) for x in (predicted_mean, predicted_cov)
        )
        last = [
            F.reshape(F.slice_axis(x, axis=0, begin=0, end=1), shape=(-3, -2)) for x in (mean, cov)
        ]

        P_A = F.dot(P, A, transpose_b=True)  # Cov(h_t, h_{t+1} | v_1 .. v_t): (T-1, N, H, H)
        J = gemm2(P_A, _generalised_inverse(F, P_next, self._float))
        ones = F.expand_dims(F.ones_like(F.slice_axis(A, axis=0, begin=0, end=1)), 0)
        eye = F.linalg.makediag(ones)  # (1, 1, H, H)
        X = F.broadcast_sub(eye, F.dot(J, A))  # I - J A
        own = gemm2(gemm2(X, P), X, transpose_b=True) + gemm2(F.dot(J, S_h), J, transpose_b=True)

        def body(inputs: list[Any], state: list[Any]) -> tuple[list[Any], list[Any]]:
            m_t, m_after, J_t, own_t = inputs
            surprise = F.expand_dims(state[0] - m_after, 2)
            new_mean = m_t + F.reshape(gemm2(J_t, surprise), shape=(0, -1))
            cross = gemm2(state[1], J_t, transpose_b=True)  # Cov(h_{t+1}, h_t)
            new_cov = own_t + gemm2(J_t, cross)
            return [new_mean, new_cov, cross], [new_mean, new_cov]

        means, covs, crosses = F.contrib.foreach(body, [m, m_next, J, own], last)[0]
        last = [F.expand_dims(x, 0) for x in last]
        means, covs = (
            F.reverse(F.concat(x, rest, dim=0), axis=0) for x, rest in zip(last, (means, covs))
        )
        crosses = F.reverse(F.concat(crosses, F.zeros_like(last[1]), dim=0), axis=0)
        return (
            F.transpose(means, axes=(1, 0, 2)),
            F.transpose(covs, axes=(1, 0, 2, 3)),
            F.transpose(crosses, axes=(1, 0, 2, 3)),
        )


@functools.cache
def _compiled_smoother(dtype: str) -> _Smoother:
    block = _Smoother(dtype)
    block.hybridize()
    return block


def _generalised_inverse(F: Any, P: Any, kind: Any) -> Any:
    """A G with P G P = P for symmetric P (..., H, H) with no negative eigenvalue.

    Eigenvalues are judged after scaling to a unit diagonal, so that a component on a small scale
    is not mistaken for one without variance. ``kind`` is the ``numpy.finfo`` of P's type.
    """
    variance = F.linalg.extractdiag(P)  # (..., H)
    scale = F.rsqrt(F.maximum(variance, float(kind.tiny))) * (variance > float(kind.tiny))
    scales = F.broadcast_mul(F.expand_dims(scale, -1), F.expand_dims(scale, -2))
    U, eigenvalues = F.linalg.syevd(P * scales)  # rows of U are the eigenvectors
    limit = F.max(eigenvalues, axis=-1, keepdims=True) * (10 * float(kind.eps))
    kept = F.broadcast_greater(eigenvalues, limit)
    inverse = kept / F.where(kept, eigenvalues, F.ones_like(eigenvalues))
    rows = F.broadcast_mul(U, F.expand_dims(inverse, -1))
    return F.linalg.gemm2(rows, U, transpose_a=True) * scales
