"""A linear system's forecast as one graph, from values to what follows them, to be exported.

Holds no mathematics of its own: the filter and the forecast are in ``kalman.py``.
"""

from __future__ import annotations

from typing import Any

from dope.core.backend import mx
from dope.plugins.timeseries.kalman import KalmanFilter, forecast
from dope.plugins.timeseries.system import system_of


class Ahead:
    """Values (N, T, D) and what of them was observed to the observations that follow.

    Parameters
    ----------
    net
        The system.
    horizon
        Steps ahead.
    """

    def __init__(self, net: Any, horizon: int) -> None:
        self.net, self.horizon = net, horizon
        self.filter = KalmanFilter()

    def __call__(self, values: Any, observed: Any) -> tuple[Any, Any]:
        """Mean and standard deviation (N, horizon, D), of arrays or of symbols."""
        F = mx.nd if isinstance(values, mx.nd.NDArray) else mx.sym
        p = {
            name: each.data(values.context) if F is mx.nd else each.var()
            for name, each in self.net._reg_params.items()
        }
        scale = F.reshape(p["scale"], shape=(1, 1, -1))
        centre = F.reshape(p["centre"], shape=(1, 1, -1))
        scaled = F.broadcast_div(F.broadcast_sub(values, centre), scale) * observed
        system = system_of(F, p)
        _, _, means, covs, _ = self.filter(scaled, observed, *system)
        mean, cov = (
            F.squeeze(F.slice_axis(each, axis=1, begin=-1, end=None), axis=1)
            for each in (means, covs)
        )
        made = forecast(mean, cov, system.A, system.B, system.S_h, system.S_v, self.horizon)
        eye = F.expand_dims(F.linalg.makediag(F.ones_like(p["scale"])), axis=0)  # (1, D, D)
        variance = F.sum(F.broadcast_mul(made.cov, F.expand_dims(eye, axis=0)), axis=3)
        return (
            F.broadcast_add(F.broadcast_mul(made.mean, scale), centre),
            F.broadcast_mul(F.sqrt(variance), scale),
        )
