"""The parameters of a linear dynamical system as a network, and a first guess of them from data.

Holds the block that learning moves; filtering is in ``kalman.py``, the task in ``lds.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, List, Literal, NamedTuple, Optional, Tuple

import numpy as np

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.plugins.timeseries.kalman import KalmanLogLikelihood, System

COVARIANCES = ("S_h", "S_v", "S0")
UNROLLED = 150  # steps up to which an unrolled filter repays its first call in a run


class Observations(NamedTuple):
    """What a system is built for."""

    values: np.ndarray  # (N, T, D), NaN where missing or not to be learned from
    system: Optional[System] = None  # the true one in NumPy arrays, of data that were simulated


class SystemModel(mx.gluon.HybridBlock):
    """A linear dynamical system that all series share; see ``kalman.py`` for its equations.

    Without an identifying constraint its state is known up to an invertible linear map: compare
    learned systems by likelihood, forecasts and the eigenvalues of A, not entry by entry.

    Parameters
    ----------
    state
        H, number of components of the state.
    init
        Where parameters that are not given start: ``spectral`` fits the autocovariances
        (stochastic subspace identification), ``random`` draws a slowly shrinking rotation,
        ``truth`` takes the system that a simulated data set was drawn from.
    learn
        The parameters that learning may change, any of A, B, S_h, S_v, mu0, S0; null means all,
        but S0 only with more than one series, for one start tells nothing of its spread.
    A, B
        Transition (H, H) and emission (D, H) to start from; null leaves them to ``init``.
    S_h, S_v
        Covariances of the transition noise (H, H) and observation noise (D, D) to start from.
    mu0, S0
        Mean (H) and covariance (H, H) of the state at the first observation to start from.
    center
        Take the mean of each component off before, and add it to forecasts after; null does so
        unless ``init`` is truth or one of A, B, S_h, S_v, mu0, S0 is given.
    dtype
        float64, or float32 where speed matters more than digits.

    Raises
    ------
    ConfigError
        A matrix has the wrong shape or is no covariance, or there is no true system to take.

    Notes
    -----
    Inside, each observed component is divided by its standard deviation, which changes nothing
    but the conditioning: likelihoods, and the parameters given and shown, are in data units. A
    covariance is L L', L = diag(exp(d)) (I + strict lower triangle), d on the diagonal of the
    learned matrix: any value of it is a covariance, on any scale.
    """

    def __init__(
        self,
        data: Observations,
        *,
        state: int = 2,
        init: Literal["spectral", "random", "truth"] = "spectral",
        learn: Optional[List[Literal["A", "B", "S_h", "S_v", "mu0", "S0"]]] = None,
        A: Optional[List[List[float]]] = None,
        B: Optional[List[List[float]]] = None,
        S_h: Optional[List[List[float]]] = None,
        S_v: Optional[List[List[float]]] = None,
        mu0: Optional[List[float]] = None,
        S0: Optional[List[List[float]]] = None,
        center: Optional[bool] = None,
        dtype: Literal["float32", "float64"] = "float64",
    ) -> None:
        super().__init__()
        if state < 1:
            raise ConfigError(f"model.state={state} is out of range", "It is at least 1.")
        usual = System._fields if len(data.values) > 1 else System._fields[:-1]
        chosen = usual if learn is None else learn
        self.learn, self.dtype = tuple(k for k in System._fields if k in chosen), dtype
        given = _given(System(A, B, S_h, S_v, mu0, S0), data, state, init)
        self.known = len(given) == len(System._fields)
        centered = not given if center is None else center
        centre, scale = _standard(data.values, centered)
        if "B" in given:
            given["B"] = given["B"] / scale[:, None]
        if "S_v" in given:
            given["S_v"] = given["S_v"] / np.outer(scale, scale)
        start = _start((data.values - centre) / scale, state, init, given)
        fixed = {"centre": centre, "scale": scale}
        for name, value in {**_to_parameters(start), **fixed}.items():
            parameter = self.params.get(
                name,
                shape=value.shape,
                dtype=dtype,
                init=mx.init.Constant(value),
                grad_req="write" if name in self.learn else "null",
            )
            setattr(self, name, parameter)
        length = data.values.shape[1]
        self.likelihood = KalmanLogLikelihood(length if length <= UNROLLED else None)

    def hybrid_forward(self, F: Any, values: Any, mask: Any, **p: Any) -> Any:
        """Negative log-likelihood (N,) of ``values`` (N, T, D) where ``mask`` is one."""
        scale = F.reshape(p["scale"], shape=(1, 1, -1))
        centre = F.reshape(p["centre"], shape=(1, 1, -1))
        scaled = F.broadcast_div(F.broadcast_sub(values, centre), scale) * mask
        system = system_of(F, p)
        units = F.sum(F.broadcast_mul(mask, F.log(scale)), axis=(1, 2))
        return units - self.likelihood(scaled, mask, *system)

    def system(self, context: Any = None) -> System:
        """The system of the standardized observations, NDArrays on ``context`` or the first."""
        context = context or self.A.list_ctx()[0]
        found = {name: getattr(self, name).data(context) for name in System._fields}
        for name in COVARIANCES:
            found[name] = _covariance(mx.nd, found[name])
        return System(**found)

    def standardized(self, values: np.ndarray) -> np.ndarray:
        """(N, T, D) in data units to what `system` describes."""
        centre, scale = self.units()
        return ((values - centre) / scale).astype(self.dtype)

    def units(self) -> Tuple[np.ndarray, np.ndarray]:
        """What was taken off each observed component, and by what it was divided: (D,) each."""
        return tuple(p.list_data()[0].asnumpy() for p in (self.centre, self.scale))

    def in_units(self) -> System:
        """The system in data units, float64 NumPy arrays; ``units()[0]`` adds to observations."""
        found = System(*(x.asnumpy().astype(np.float64) for x in self.system()))
        scale = self.units()[1].astype(np.float64)
        return found._replace(B=found.B * scale[:, None], S_v=found.S_v * np.outer(scale, scale))

    def set_system(self, system: System) -> None:
        """Put the learned parameters of a system of standardized observations on all contexts."""
        host = System(*(x.asnumpy().astype(np.float64) for x in system))
        for name, value in _to_parameters(host).items():
            if name in self.learn:
                getattr(self, name).set_data(mx.nd.array(value, dtype=self.dtype))


def system_of(F: Any, p: Mapping[str, Any]) -> System:
    """The system of the standardized observations, of parameters as arrays or as symbols."""
    return System(*(_covariance(F, p[k]) if k in COVARIANCES else p[k] for k in System._fields))


def _covariance(F: Any, raw: Any) -> Any:
    """The covariance (n, n) that a learned matrix (n, n) stands for; its upper part is unused."""
    diagonal = F.linalg.extractdiag(raw)
    lower = F.linalg.maketrian(F.linalg.extracttrian(raw)) - F.linalg.makediag(diagonal)
    unit = lower + F.linalg.makediag(F.ones_like(diagonal))
    L = F.broadcast_mul(unit, F.expand_dims(F.exp(diagonal), 1))
    return F.linalg.gemm2(L, L, transpose_b=True)


def _from_covariance(S: np.ndarray) -> np.ndarray:
    """The inverse of `_covariance`; directions without variance get a millionth of the row's."""
    eigenvalues, U = np.linalg.eigh((S + S.T) / 2)
    root = U * np.sqrt(np.maximum(eigenvalues, 0.0))
    L = np.linalg.qr(root.T)[1].T
    L = L * np.where(np.diag(L) < 0, -1.0, 1.0)
    row = np.sqrt((L**2).sum(axis=1))
    diagonal = np.maximum(np.diag(L), np.maximum(1e-6 * row, 1e-9))
    return np.tril(L, -1) / diagonal[:, None] + np.diag(np.log(diagonal))


def _to_parameters(system: System) -> dict[str, np.ndarray]:
    return {
        name: _from_covariance(value) if name in COVARIANCES else value
        for name, value in system._asdict().items()
    }


def _given(options: System, data: Observations, H: int, init: str) -> dict[str, np.ndarray]:
    """The parameters that the user or the data set knows, in data units and of right shape."""
    D = data.values.shape[2]
    shapes = System((H, H), (D, H), (H, H), (D, D), (H,), (H, H))
    found = {}
    if init == "truth":
        if data.system is None:
            raise ConfigError(
                "model.init=truth, but the data set knows no true system",
                "Use timeseries.rotation, or model.init=spectral.",
            )
        found = {k: np.asarray(v, np.float64) for k, v in data.system._asdict().items()}
    for name, value in options._asdict().items():
        if value is not None:
            try:
                found[name] = np.array(value, np.float64)
            except ValueError:
                raise ConfigError(f"model.{name} has rows of unequal length", "Mend it.") from None
    for name, value in found.items():
        if value.shape != getattr(shapes, name):
            raise ConfigError(
                f"model.{name} has shape {value.shape}, but model.state={H} and {D} observed "
                f"components need {getattr(shapes, name)}",
                "Set model.state, or mend the matrix.",
            )
        if name in COVARIANCES:
            _check_covariance(name, value)
    return found


def _check_covariance(name: str, S: np.ndarray) -> None:
    least = np.linalg.eigvalsh((S + S.T) / 2).min() if np.isfinite(S).all() else -1.0
    size = np.abs(S).max()
    if not np.allclose(S, S.T, rtol=1e-9, atol=1e-12 * size) or least < -1e-9 * size:
        raise ConfigError(
            f"model.{name} is no covariance", "It is symmetric, with no negative eigenvalue."
        )
    if name == "S_v" and least <= 0:
        raise ConfigError("model.S_v is singular", "Each observed component needs some noise.")


def _standard(values: np.ndarray, centered: bool) -> Tuple[np.ndarray, np.ndarray]:
    """Centre and scale (D,) of the observed values; a constant component keeps its scale."""
    flat = values.reshape(-1, values.shape[2])
    centre = np.nanmean(flat, axis=0)
    scale = np.nanstd(flat, axis=0)
    scale = np.where(scale > 1e-12 * np.abs(centre), scale, np.maximum(np.abs(centre), 1.0))
    return centre * centered, scale


def _start(v: np.ndarray, H: int, init: str, given: dict[str, np.ndarray]) -> System:
    """The system to begin with: half of each component's variance is signal, half is noise."""
    D = v.shape[2]
    if len(given) == len(System._fields):
        return System(**given)
    A, B = (_spectral(v, H) if init == "spectral" else None) or _random(H, D)
    A, B = given.get("A", A), given.get("B", B)
    variance = np.nanmean(v.reshape(-1, D) ** 2, axis=0)  # (D,)
    damped = A * min(1.0, 0.98 / max(np.abs(np.linalg.eigvals(A)).max(), 1e-12))
    eye = np.eye(H)
    spread = np.linalg.solve(np.eye(H * H) - np.kron(damped, damped), eye.ravel()).reshape(H, H)
    signal = np.trace(B @ spread @ B.T)
    strength = 0.5 * variance.sum() / signal if signal > 0 else 1.0
    first = _first_state(v, B) if given else np.zeros(H)
    A = A if "A" in given else damped
    made = System(A, B, strength * eye, np.diag(0.5 * variance + 1e-6), first, strength * spread)
    if given:
        return made._replace(**given)
    # Coordinates in which the first state is standard normal, so that S0 can stay as it is.
    M = np.linalg.cholesky((made.S0 + made.S0.T) / 2)
    back = np.linalg.inv(M)
    return System(back @ A @ M, B @ M, back @ made.S_h @ back.T, made.S_v, first, eye)


def _first_state(v: np.ndarray, B: np.ndarray) -> np.ndarray:
    """The state (H,) whose emission comes nearest to the mean first observation."""
    observed = ~np.isnan(v)
    place = observed.argmax(axis=1)[:, None]  # (N, 1, D)
    first = np.take_along_axis(v, place, axis=1)[:, 0]  # (N, D)
    known = observed.any(axis=1)
    mean = np.where(known, first, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.linalg.lstsq(B, mean, rcond=None)[0]


def _random(H: int, D: int) -> Tuple[np.ndarray, np.ndarray]:
    """A shrinking rotation and an emission from NumPy's generator, which the run has seeded."""
    A = 0.9 * np.linalg.qr(np.random.standard_normal((H, H)))[0]
    return A, np.random.standard_normal((D, H)) / math.sqrt(H)


def _spectral(v: np.ndarray, H: int) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """A and B from autocovariances; None where the series are too short for that.

    The autocovariance at lag k >= 1 is B A^(k-1) G, so their block Hankel matrix has the
    observability matrix for its column space (Katayama 2005, Subspace Methods for System
    Identification, section 7.7).
    """
    T, D = v.shape[1:]
    rows = max(-(-2 * H // D) + 1, 8)  # block rows
    if 2 * rows > T // 2:
        rows = -(-H // D) + 1
        if 2 * rows > T:
            return None
    observed = ~np.isnan(v)
    x, m = np.where(observed, v, 0.0), observed.astype(np.float64)
    lagged = []
    for k in range(1, 2 * rows):
        total = np.einsum("nti,ntj->ij", x[:, k:], x[:, :-k])
        count = np.einsum("nti,ntj->ij", m[:, k:], m[:, :-k])
        lagged.append(total / np.maximum(count, 1.0))
    hankel = np.block([[lagged[i + j] for j in range(rows)] for i in range(rows)])
    observability = np.linalg.svd(hankel)[0][:, :H]  # (rows D, H)
    return np.linalg.pinv(observability[:-D]) @ observability[D:], observability[:D]
