"""The filter of the innovation state-space model, batched over series, in elementwise operators.

Holds the structure (level, trend, season), the gains and the innovations; not the parameters and
how they are learned (issm.py), nor the general linear system (kalman.py).

The model, for one series (book lines 13182 to 13205; Hyndman et al. 2008, but with two sources
of noise):

    z_t = a' l_{t-1} + nu_t,        nu_t  ~ N(0, sigma^2)
    l_t = F l_{t-1} + g eps_t,      eps_t ~ N(0, 1), independent of nu

Everything here is in units of sigma: the strengths are g / sigma, the innovation variance S_t and
the covariance P_t are those over sigma^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

import numpy as np

from dope.core.backend import mx

RIDGE = 1e-9  # keeps the initial state defined where a season was never observed
FLOOR = 1e-12  # of sigma^2, for series that repeat themselves exactly
Array = Any  # mx.nd.NDArray, or mx.sym.Symbol while a block is traced


@dataclass(frozen=True)
class Structure:
    """Which components the state has, and how it moves on by one step.

    Parameters
    ----------
    trend
        Whether the state has a slope.
    season
        Period of the seasonal component in steps; 1 means none.

    Notes
    -----
    The state is ``level, [slope], [season_1 .. season_m]``. The season rotates: ``season_1`` is
    the one that the next observation sees; after it, that entry moves to the end, where the
    innovation reaches it. ``level_damping`` (delta) and ``trend_damping`` (phi) enter as
    ``level' = delta level + phi slope`` and ``slope' = phi slope``.
    """

    trend: bool = False
    season: int = 1

    @property
    def seasonal(self) -> bool:
        return self.season > 1

    @property
    def size(self) -> int:
        """Length H of the state."""
        return 1 + self.trend + (self.season if self.seasonal else 0)

    @property
    def free(self) -> int:
        """Free initial values, H0: the seasonal ones sum to zero."""
        return self.size - self.seasonal

    @property
    def strengths(self) -> list[str]:
        """Names of the learned innovation strengths, in the order of their parameters."""
        return ["level", *(["trend"] if self.trend else []), *(["season"] if self.seasonal else [])]

    def free_to_state(self) -> np.ndarray:
        """Matrix (H, H0) from the free initial values to the initial state."""
        rest = 1 + self.trend
        matrix = np.zeros((self.size, self.free))
        matrix[:rest, :rest] = np.eye(rest)
        if self.seasonal:
            matrix[rest:-1, rest:] = np.eye(self.season - 1)
            matrix[-1, rest:] = -1
        return matrix

    def innovation_vector(self, strengths: np.ndarray) -> np.ndarray:
        """g, (..., H), from strengths (..., number of strengths)."""
        g = np.zeros((*strengths.shape[:-1], self.size))
        g[..., : 1 + self.trend] = strengths[..., : 1 + self.trend]
        if self.seasonal:
            g[..., -1] = strengths[..., -1]
        return g

    def differencing(self, trend_damping: float = 1.0) -> np.ndarray:
        """Coefficients (H0 + 1,) of D(L), the monic polynomial that removes the initial state.

        For an undamped level: (1 - L) or (1 - L^m), times (1 - phi L) with a trend.
        """
        polynomial = np.zeros(self.season + 1)
        polynomial[0], polynomial[-1] = 1.0, -1.0
        return np.convolve(polynomial, [1.0, -trend_damping]) if self.trend else polynomial

    def autocovariance_basis(self, trend_damping: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """What D(L) z has for autocovariances, over sigma^2, at lags 0 to H0.

        Returns
        -------
        noise
            (H0 + 1,) the share of the observation noise.
        pairs
            (H0 + 1, p (p + 1) / 2) the factors of the products of two strengths, in the order of
            ``np.triu_indices(p)``.
        """
        d = self.differencing(trend_damping)
        power, responses = self.emission(1.0, trend_damping), []
        for _ in range(self.free):  # a' F^{j-1} for lags j = 1 .. H0
            responses.append(power)
            power = power @ self.transition(1.0, trend_damping)
        lagged = np.vstack([np.zeros(self.size), *responses])  # (H0 + 1, H)
        unit = self.innovation_vector(np.eye(len(self.strengths)))  # (p, H)
        filters = [np.convolve(d, lagged @ g)[: self.free + 1] for g in unit]
        rows, columns = np.triu_indices(len(filters))
        pairs = [
            (1 if i == j else 2) * _symmetric_products(filters[i], filters[j])
            for i, j in zip(rows, columns)
        ]
        return _symmetric_products(d, d), np.stack(pairs, axis=1)

    def log_determinant(self, level_damping: float = 1.0, trend_damping: float = 1.0) -> float:
        """log |det X|, X (H0, H0) taking free initial values to the first H0 values of a series."""
        row, rows = self.emission(level_damping, trend_damping), []
        for _ in range(self.free):
            rows.append(row @ self.free_to_state())
            row = row @ self.transition(level_damping, trend_damping)
        return float(np.linalg.slogdet(np.array(rows))[1])

    def transition(self, level_damping: float = 1.0, trend_damping: float = 1.0) -> np.ndarray:
        """F, (H, H)."""
        matrix = np.zeros((self.size, self.size))
        matrix[0, 0] = level_damping
        if self.trend:
            matrix[0, 1] = matrix[1, 1] = trend_damping
        if self.seasonal:
            first = 1 + self.trend
            matrix[first:, first:] = np.roll(np.eye(self.season), 1, axis=1)
        return matrix

    def emission(self, level_damping: float = 1.0, trend_damping: float = 1.0) -> np.ndarray:
        """a, (H,): the row of F that gives the next level, plus the season that is due."""
        row = np.zeros(self.size)
        row[0] = level_damping
        if self.trend:
            row[1] = trend_damping
        if self.seasonal:
            row[1 + self.trend] = 1
        return row


def _symmetric_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum over j of (a_j b_{j+k} + b_j a_{j+k}) / 2 for lags k = 0, 1 ..."""
    n = len(a)
    return np.array([(a[: n - k] @ b[k:] + b[: n - k] @ a[k:]) / 2 for k in range(n)])


def _split(F: Any, structure: Structure, x: Array) -> list[Array]:
    """(H, ...) -> [level (1, ...), slope (1, ...) if any, season (m, ...) if any]."""
    ends = [*range(1, 1 + structure.trend + structure.seasonal), None]
    return [
        F.slice_axis(x, axis=0, begin=begin, end=end)  # split_v2 takes eight times as long
        for begin, end in zip([0, *ends], ends)
    ]


def _join(F: Any, parts: Sequence[Array]) -> Array:
    return F.concat(*parts, dim=0) if len(parts) > 1 else parts[0]


def _advance(
    F: Any, structure: Structure, parts: Sequence[Array], damping: Sequence[Optional[Array]]
) -> tuple[Array, list[Array]]:
    """a' x (1, ...) and F x, for a state in parts."""
    delta, phi = damping
    parts = list(parts)
    level = parts[0] if delta is None else F.broadcast_mul(parts[0], delta)
    moved = []
    if structure.trend:
        slope = parts[1] if phi is None else F.broadcast_mul(parts[1], phi)
        level = level + slope
        moved.append(slope)
    moved.insert(0, level)
    seen = level
    if structure.seasonal:
        due = F.slice_axis(parts[-1], axis=0, begin=0, end=1)
        rest = F.slice_axis(parts[-1], axis=0, begin=1, end=None)
        seen = seen + due
        moved.append(F.concat(rest, due, dim=0))
    return seen, moved


class _Steps(mx.gluon.HybridBlock):
    """``steps`` time steps of a recursion, unrolled into one graph."""

    def __init__(self, structure: Structure, steps: int, damped: Sequence[bool]) -> None:
        super().__init__()
        self.structure, self.steps, self.damped = structure, steps, tuple(damped)

    def _damping(self, given: Sequence[Array]) -> list[Optional[Array]]:
        """delta and phi, (1, 1, B) each; None where there is no damping and none is given."""
        rest = iter(given)
        return [next(rest) if damped else None for damped in self.damped]


class DifferencedLikelihood(mx.gluon.HybridBlock):
    """Sums of v_t^2 / S_t and log S_t of the differenced series, O(H0) a step.

    D(L) z_t is a moving average of order q = H0, so its covariance is a banded Toeplitz matrix,
    and Schur's algorithm (Kailath & Sayed 1995, section 2) gives its Cholesky factor column by
    column from two vectors: with u = (c_0 .. c_q) and v = (c_1 .. c_q) at first,

        rho = v_1 / u_0,  u' = u - rho (v, shifted),  v' = (v, shifted) - rho (u_1 .. u_q)

    u_0 is the innovation variance S_t, u_j / u_0 the weight of this innovation j steps later.

    Parameters
    ----------
    order
        q.
    steps
        Time steps unrolled into one graph.
    """

    def __init__(self, order: int, steps: int) -> None:
        super().__init__()
        self.order, self.steps = order, steps

    def _shifted(self, F: Any, x: Array) -> Array:
        """(x_2 .. x_q, 0)."""
        last = F.slice_axis(x, axis=0, begin=self.order - 1, end=None)
        if self.order == 1:
            return F.zeros_like(last)
        return F.concat(F.slice_axis(x, axis=0, begin=1, end=None), F.zeros_like(last), dim=0)

    def hybrid_forward(
        self, F: Any, w: Array, mask: Array, variance: Array, u: Array, v: Array, ahead: Array
    ) -> tuple[Array, ...]:
        # w, mask (steps, B); variance (1, B); u, v, ahead (q, B): ahead is what is known of the
        # next q values
        seen = F.split(w, num_outputs=self.steps, axis=0)
        counted = F.split(mask, num_outputs=self.steps, axis=0)
        squares, logs = [], []
        for t in range(self.steps):
            error = (seen[t] - F.slice_axis(ahead, axis=0, begin=0, end=1)) * counted[t]
            weight = error / variance
            squares.append(error * weight)
            logs.append(F.log(variance) * counted[t])
            ahead = self._shifted(F, ahead) + F.broadcast_mul(u, weight)
            first = F.slice_axis(v, axis=0, begin=0, end=1)
            rho, v = first / variance, self._shifted(F, v)
            u, v = u - F.broadcast_mul(v, rho), v - F.broadcast_mul(u, rho)
            variance = variance - rho * first
        return F.add_n(*squares), F.add_n(*logs), variance, u, v, ahead


class Gains(_Steps):
    """Gains and innovation variances from a known initial state, O(H^2) a step.

    Where ``mask`` is 0 the update is skipped: K_t = 0, and S_t is not used.
    """

    def hybrid_forward(
        self, F: Any, cov: Array, g: Array, mask: Array, *damped: Array
    ) -> tuple[Array, ...]:
        # cov (H, H, B); g (H, 1, B); mask (1, steps, B); damping (1, 1, B)
        structure, damping = self.structure, self._damping(damped)
        noise = F.broadcast_mul(g, F.swapaxes(g, 0, 1))  # (H, H, B)
        observed = F.split(mask, num_outputs=self.steps, axis=1, squeeze_axis=False)
        observed = [observed] if self.steps == 1 else observed
        gains, variances = [], []
        for t in range(self.steps):
            seen, moved = _advance(F, structure, _split(F, structure, cov), damping)
            cross = F.swapaxes(seen, 0, 1)  # P a, (H, 1, B)
            due, cross = _advance(F, structure, _split(F, structure, cross), damping)
            variance = due + 1
            gain = F.broadcast_mul(_join(F, cross), F.broadcast_div(observed[t], variance))
            half = F.swapaxes(_join(F, moved), 0, 1)  # (F P)' = P F'
            _, full = _advance(F, structure, _split(F, structure, half), damping)
            scaled = F.broadcast_mul(gain, variance)
            cov = _join(F, full) + noise - F.broadcast_mul(scaled, F.swapaxes(gain, 0, 1))
            gains.append(gain)
            variances.append(variance)
        return F.concat(*gains, dim=1), F.concat(*variances, dim=1), cov


class Innovations(_Steps):
    """One-step prediction errors given the gains: v_t = z_t - a' x_t, x' = F x + K_t v_t.

    Linear in the initial state, so that further columns carry the errors' derivatives with
    respect to it.
    """

    def hybrid_forward(
        self, F: Any, x: Array, gains: Array, z: Array, *damped: Array
    ) -> tuple[Array, Array]:
        # x (H, C, B); gains (H, steps, B); z (steps, C, B); damping (1, 1, B)
        structure, damping = self.structure, self._damping(damped)
        k_parts = [
            [k] if self.steps == 1 else list(F.split(k, num_outputs=self.steps, axis=1))
            for k in _split(F, structure, gains)
        ]
        observed = [z] if self.steps == 1 else F.split(z, num_outputs=self.steps, axis=0)
        parts = _split(F, structure, x)
        errors = []
        for t in range(self.steps):
            seen, moved = _advance(F, structure, parts, damping)
            error = observed[t] - seen
            errors.append(error)
            parts = [m + F.broadcast_mul(k[t], error) for k, m in zip(k_parts, moved)]
        return F.concat(*errors, dim=0), _join(F, parts)


@dataclass(frozen=True)
class Trajectory:
    """Filtered series: N of them, T places, state of length H.

    Parameters
    ----------
    fitted, deviation
        (N, T) mean and standard deviation of each value given those before it; NaN after a
        series' end.
    initial
        (N, H) most likely state before the first value.
    state, cov
        (N, H), (N, H, H): the state after the last value, with the uncertainty of the initial
        state; the covariance is over sigma^2.
    sigma
        (N,) noise, with a degree of freedom taken off for each free initial value and each
        learned parameter.
    log_likelihood
        (N,) in nats: marginal over the initial state (flat prior on its free values), at its
        maximum over sigma.
    degrees
        (N,) number of values that are not missing, less the free initial values.
    g
        (N, H) innovation vector over sigma.
    transition, emission
        (N, H, H), (N, H): F and a.
    """

    fitted: np.ndarray
    deviation: np.ndarray
    initial: np.ndarray
    state: np.ndarray
    cov: np.ndarray
    sigma: np.ndarray
    log_likelihood: np.ndarray
    degrees: np.ndarray
    g: np.ndarray
    transition: np.ndarray
    emission: np.ndarray

    def rescaled(self, centre: np.ndarray, spread: np.ndarray) -> Trajectory:
        """In the units of the series, of which ``(z - centre) / spread`` was filtered."""
        level = np.zeros_like(self.initial)
        level[:, 0] = centre
        return replace(
            self,
            fitted=self.fitted * spread[:, None] + centre[:, None],
            deviation=self.deviation * spread[:, None],
            initial=self.initial * spread[:, None] + level,
            state=self.state * spread[:, None] + level,
            sigma=self.sigma * spread,
            log_likelihood=self.log_likelihood - self.degrees * np.log(spread),
        )

    def forecast(self, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the next values, (N, horizon) each.

        The variance at step h is sigma^2 (a' F^{h-1} P F'^{h-1} a + sum_{j<h-1} (a' F^j g)^2 + 1),
        with P the covariance of the state after the last value.
        """
        mean, variance = [], []
        row, noise = self.emission, np.ones(len(self.emission))  # a' F^{h-1}
        for _ in range(horizon):
            mean.append(np.einsum("nh,nh->n", row, self.state))
            variance.append(np.einsum("nh,nhk,nk->n", row, self.cov, row) + noise)
            noise = noise + np.einsum("nh,nh->n", row, self.g) ** 2
            row = np.einsum("nh,nhk->nk", row, self.transition)
        return np.stack(mean, axis=1), self.sigma[:, None] * np.sqrt(np.stack(variance, axis=1))


def filter_states(
    structure: Structure,
    g: np.ndarray,
    z: np.ndarray,
    level_damping: np.ndarray,
    trend_damping: np.ndarray,
    initial: Optional[np.ndarray] = None,
    learned: int = 0,
) -> Trajectory:
    """Filter N series in NumPy with given parameters, gaps and different lengths allowed.

    Parameters
    ----------
    structure
        Of the state.
    g
        (N, H) innovation vectors over sigma.
    z
        (N, T), NaN where missing; NaN places after the last value count as the series' end.
    level_damping, trend_damping
        (N,) delta and phi.
    initial
        (N, H) initial state; default the most likely one, and the likelihood is then marginal
        over it.
    learned
        How many of the given parameters of each series were learned from it: so many degrees of
        freedom are taken off sigma, which widens the intervals a little.
    """
    observed = ~np.isnan(z)
    z = np.where(observed, z, 0.0)
    ends = z.shape[1] - np.argmax(observed[:, ::-1], axis=1)
    pairs = list(zip(level_damping, trend_damping))
    transition = np.stack([structure.transition(*pair) for pair in pairs])  # (N, H, H)
    emission = np.stack([structure.emission(*pair) for pair in pairs])  # (N, H)
    gains, variance, cov = _gains(transition, emission, g, observed, ends)
    basis = structure.free_to_state()
    free = np.broadcast_to(basis, (len(z), *basis.shape))
    x = np.zeros((len(z), structure.size, 1)) if initial is None else initial[:, :, None]
    start = np.concatenate([x, free], axis=2)  # the data, then the free directions
    errors, columns = _errors(transition, emission, gains, z, start, ends)
    weighted = errors * np.sqrt(observed / variance)[:, :, None]
    gram = np.einsum("ntc,ntd->ncd", weighted, weighted)
    count = observed.sum(axis=1)
    free_count, log_determinant = 0, 0.0
    if initial is None:
        information = gram[:, 1:, 1:] + RIDGE * np.eye(basis.shape[1])
        log_determinant = np.linalg.slogdet(information)[1]
        inverse = np.linalg.inv(information)
        solved = -np.einsum("ncd,nd->nc", inverse, gram[:, 1:, 0])
        initial = solved @ basis.T
        along = columns[:, :, 1:]
        cov = cov + np.einsum("nhc,ncd,nkd->nhk", along, inverse, along)
        errors = errors[:, :, 0] + np.einsum("ntc,nc->nt", errors[:, :, 1:], solved)
        state = columns[:, :, 0] + np.einsum("nhc,nc->nh", along, solved)
        free_count = basis.shape[1]
    else:
        errors, state = errors[:, :, 0], columns[:, :, 0]
    squares = np.sum(observed * errors**2 / variance, axis=1)
    left = np.maximum(count - free_count, 1)
    most_likely = squares / left + FLOOR  # of sigma^2
    sigma = np.sqrt(squares / np.maximum(left - learned, 1) + FLOOR)
    logs = np.sum(observed * np.log(variance), axis=1) + log_determinant
    inside = np.arange(z.shape[1]) < ends[:, None]
    return Trajectory(
        fitted=np.where(inside, z - errors, np.nan),
        deviation=np.where(inside, sigma[:, None] * np.sqrt(variance), np.nan),
        initial=initial,
        state=state,
        cov=cov,
        sigma=sigma,
        log_likelihood=-0.5 * (left * (np.log(2 * np.pi * most_likely) + 1) + logs),
        degrees=left,
        g=g,
        transition=transition,
        emission=emission,
    )


def _gains(
    transition: np.ndarray,
    emission: np.ndarray,
    g: np.ndarray,
    observed: np.ndarray,
    ends: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gains (N, T, H), innovation variances (N, T) and the covariance at each series' end."""
    cov = np.zeros_like(transition)
    noise = g[:, :, None] * g[:, None, :]
    gains, variances = [], []
    for t in range(observed.shape[1]):
        cross = (cov @ emission[:, :, None])[:, :, 0]  # P a
        variance = np.einsum("nh,nh->n", emission, cross) + 1
        gain = (transition @ cross[:, :, None])[:, :, 0] * (observed[:, t] / variance)[:, None]
        moved = transition @ cov @ transition.transpose(0, 2, 1) + noise
        moved -= gain[:, :, None] * gain[:, None, :] * variance[:, None, None]
        cov = np.where((t < ends)[:, None, None], moved, cov)
        gains.append(gain)
        variances.append(variance)
    return np.stack(gains, axis=1), np.stack(variances, axis=1), cov


def _errors(
    transition: np.ndarray,
    emission: np.ndarray,
    gains: np.ndarray,
    z: np.ndarray,
    x: np.ndarray,
    ends: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """One-step errors (N, T, C) and final states (N, H, C); only column 0 sees the data."""
    errors = []
    for t in range(z.shape[1]):
        error = -np.einsum("nh,nhc->nc", emission, x)
        error[:, 0] += z[:, t]
        moved = transition @ x + gains[:, t, :, None] * error[:, None, :]
        x = np.where((t < ends)[:, None, None], moved, x)
        errors.append(error)
    return np.stack(errors, axis=1), x
