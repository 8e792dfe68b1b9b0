"""The task ``timeseries.lds``: filter, smooth, learn and forecast with one linear system.

Holds what one step of learning is and what a run reports; the mathematics is in ``kalman.py``,
``smoother.py`` and ``em.py``, the parameters are in ``system.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, List, Literal, NamedTuple, Optional

import numpy as np

from dope.core.backend import mx
from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import EXAMPLES, Exported, Input
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory
from dope.core.task import Group, Task
from dope.plugins.timeseries import em, lds_plots, plots
from dope.plugins.timeseries.ahead import Ahead
from dope.plugins.timeseries.forecasting import Forecast, baselines, table
from dope.plugins.timeseries.kalman import Filtered, filter, forecast
from dope.plugins.timeseries.shaping import SeriesSet
from dope.plugins.timeseries.smoother import Smoothed, smooth
from dope.plugins.timeseries.stamps import stamp_text
from dope.plugins.timeseries.system import Observations
from dope.plugins.timeseries.transforms import Transform


class States(NamedTuple):
    """What the system says of the states of some series, in NumPy arrays."""

    filtered: Filtered
    smoothed: Smoothed


class LinearDynamicalSystem(Task):
    """Filter, smooth, learn and forecast with a Gaussian linear dynamical system.

    Parameters
    ----------
    learning
        ``ml`` climbs the likelihood with the optimizer, ``em`` by expectation-maximization,
        ``none`` takes the parameters as they are given (model.init=truth, or all of model.A, B,
        S_h, S_v, mu0 and S0) and only filters, smooths and forecasts.
    steps
        Updates in one epoch.
    multivariate
        Take the columns of the data set for the components of one observed vector, side by side
        in time; otherwise each is a series of its own, all with the same system.
    horizon
        Steps to forecast after the last observation; null is the held-out length, or 10.
    levels
        Central prediction intervals in percent.
    plots
        How many columns to plot.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "forecast-*": (
            "The green forecast of the held-out end never saw the black values beside it: they "
            "should stay in its band. The orange bands widen until the past says nothing any "
            "more."
        ),
        "states-*": (
            "What the model takes for signal, given the past only, and given the whole series. "
            "The smoothed band is narrower; dots outside both bands are what it cannot explain."
        ),
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": {"name": "timeseries.rotation", "holdout": 10},
        "model": {"name": "timeseries.lds"},
        "loss": None,
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "trainer": {"epochs": 15, "evaluate_every": 5, "checkpoint_every": 5},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {},
        "book": {
            "task": {"learning": "none"},
            "dataset": {"name": "timeseries.rotation", "series": 1, "holdout": 0},
            "model": {"name": "timeseries.lds", "init": "truth"},
            "trainer": {"epochs": 0},
        },
        "tiny": {
            "dataset": {"name": "timeseries.rotation", "series": 5, "length": 24, "holdout": 4},
            "task": {"steps": 4, "plots": 0},
        },
    }
    contract: ClassVar[Mapping[str, Any]] = {"other_seed": {"model": {"init": "random"}}}

    no_export: ClassVar[Mapping[str, str]] = {
        "onnx": "ONNX has no Cholesky factorization, which each step of the filter takes"
    }
    threads = 1  # each operator is small: a second thread would only wait

    def __init__(
        self,
        *,
        learning: Literal["ml", "em", "none"] = "ml",
        steps: int = 10,
        multivariate: bool = False,
        horizon: Optional[int] = None,
        levels: List[float] = [50.0, 80.0, 95.0],  # noqa: B006 - copied; shows in dope show
        plots: int = 3,
    ) -> None:
        for name, value, least in (
            ("steps", steps, 1),
            ("horizon", horizon, 1),
            ("plots", plots, 0),
        ):
            if value is not None and value < least:
                raise ConfigError(
                    f"task.{name}={value} is out of range", f"It is at least {least}."
                )
        for level in levels:
            if not 0 < level < 100:
                raise ConfigError(f"task.levels: {level} is no percentage", "Try 50,80,95.")
        self.learning, self.steps, self.multivariate = learning, steps, multivariate
        self.horizon, self.levels, self.plots = horizon, sorted(set(levels)), plots

    def prepare(self) -> None:
        """Read the data and lay it out as (N, T, D), held-out values included."""
        found: SeriesSet = self.dataset.load()
        self.series = _aligned(found) if self.multivariate else found
        self.training, self.held_out = self.series.split()
        self.values = self._arranged(self.series.values)  # (N, T, D)
        learned = np.full_like(self.series.values, np.nan)
        learned[:, : self.training.values.shape[1]] = self.training.values
        self.learned = self._arranged(learned)

    def _arranged(self, rows: np.ndarray) -> np.ndarray:
        """Columns of the data set (C, T) to (N, T, D)."""
        return rows.T[None] if self.multivariate else rows[:, :, None]

    def _rows(self, x: np.ndarray) -> np.ndarray:
        """(N, K, D) to one row (N D, K) a column of the data set."""
        return x.transpose(0, 2, 1).reshape(-1, x.shape[1])

    def build(self) -> Any:
        """The system to learn, or the one that is known."""
        truth = getattr(self.dataset, "system", None)
        net = self.model(Observations(self.learned, truth))
        if self.learning == "none" and not net.known:
            raise ConfigError(
                "task.learning=none, but not all parameters are known",
                "Give model.A, B, S_h, S_v, mu0 and S0, or model.init=truth with a simulated "
                "data set, or learn by ml or em.",
            )
        if self.learning != "none" and not net.learn:
            raise ConfigError("model.learn is empty", "Name a parameter, or set task.learning=none")
        self.arrays = [
            np.nan_to_num(self.values).astype(net.dtype),
            (~np.isnan(self.learned)).astype(net.dtype),
            (~np.isnan(self.values)).astype(net.dtype),
        ]
        self.batches = ArrayBatches(self.arrays, self.options.batch_size, repeats=self.steps)
        if self.learning == "em" and self.batches.batch_size < len(self.values):
            raise ConfigError(
                f"trainer.batch_size={self.options.batch_size} with task.learning=em",
                "EM needs all series in each step: leave trainer.batch_size out.",
            )
        return net

    def data(self, split: str) -> Any:
        """Values, what of them may be learned from, and what was observed: (N, T, D) each."""
        return self.batches if split == "train" else None

    def groups(self, nets: Any) -> dict[str, Group]:
        """One group for the optimizer; none where it has nothing to do."""
        if self.learning != "ml":
            return {}
        if self.optimizer["name"] == "bfgs":
            raise ConfigError(
                "optimizer=bfgs fits one model a series, and timeseries.lds has one for all",
                "Use optimizer=adam, or task.learning=em.",
            )
        return dict(super().groups(nets))

    def loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        """Negative log-likelihood of each series, (n,), in natural logarithms of data units."""
        values, learned, _ = shard
        return nets(values, learned)

    def step(self, engine: Any, batch: Any) -> dict[str, Sum]:
        """One update by gradient or by EM."""
        if self.learning == "ml":
            return {"loss": engine.minimize("main", self.loss, batch)}
        total = engine.total(self.loss, batch)
        if self.learning == "em":
            statistics = em.add(engine.gather(_statistics, batch))
            net = engine.nets
            net.set_system(em.m_step(statistics, net.system(engine.contexts[0]), net.learn))
        return {"loss": total}

    def evaluate(self, engine: Any) -> dict[str, float]:
        """Log-likelihood per learned value; and the loss per held-out value, given the learned."""
        learned, whole = Sum(), Sum()
        for batch in ArrayBatches(self.arrays, self.options.batch_size):
            learned = learned + engine.total(self.loss, batch)
            whole = whole + engine.total(_loss_of_all, batch)
        losses = learned.mean() * learned.count, whole.mean() * whole.count
        found = {"log_likelihood_per_value": -losses[0] / _count(self.learned)}
        if _count(self.held_out):
            found["valid_loss"] = (losses[1] - losses[0]) / _count(self.held_out)
        return found

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Figures, ``system.json``, ``states.csv``, forecasts as tables, and plots."""
        states = _states(nets, self.values)
        held = None
        figures = self._figures(nets)
        if self.held_out.shape[1]:
            held = self._forecast(nets, self.learned, self.training, self.held_out.shape[1])
            figures |= held.scores(self.training, self.held_out, self.levels)
            figures["baselines"] = baselines(self.training, self.held_out, self.levels)
            run.write_text("held_out.csv", held.to_csv(self.levels, self.held_out))
        future = self._forecast(nets, self.values, self.series, self._horizon())
        run.write_text("forecast.csv", future.to_csv(self.levels))
        run.write_text("states.csv", self._table(states))
        run.write_json("system.json", self._parameters(nets))
        self._plot(nets, run, states, future, held)
        return figures

    def predict(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Forecast after the last observation of the data as configured now."""
        future = self._forecast(nets, self.values, self.series, self._horizon())
        return {"rows": future.rows(self.levels)}

    def exports(self, nets: Any) -> Sequence[Exported]:
        """Values and what of them was observed to the forecast after the last of them."""
        D, horizon = self.values.shape[2], self._horizon()
        values, mask = (array[:EXAMPLES] for array in (self.arrays[0], self.arrays[2]))
        free = {0: "n", 1: "t"}
        ahead = Ahead(nets, horizon)
        return [
            Exported(
                [nets],
                ahead,
                [
                    Input("values", values, f"series, times, {D} components; 0 if missing", free),
                    Input("observed", mask, "1 where there is a value, 0 where none", free),
                ],
                {
                    "mean": f"of the {horizon} steps that follow; series, steps, components",
                    "deviation": "standard deviation of the same",
                },
                name="forecast",
                about="Forecasts series of any length by the Kalman filter.",
            )
        ]

    def _horizon(self) -> int:
        return self.horizon or self.series.holdout or 10

    def _forecast(self, net: Any, values: np.ndarray, series: SeriesSet, horizon: int) -> Forecast:
        """The forecast of each column after the last place that ``series`` has."""
        system = net.system()
        filtered = filter(net.standardized(values), *system)
        last = (series.length if not self.multivariate else series.length[:1]) - 1  # (N,)
        mean, cov = (
            mx.nd.array(x.asnumpy()[np.arange(len(last)), last], dtype=x.dtype, ctx=x.context)
            for x in (filtered.mean, filtered.cov)
        )
        ahead = forecast(mean, cov, system.A, system.B, system.S_h, system.S_v, horizon)
        centre, scale = net.units()
        variance = np.diagonal(ahead.cov.asnumpy(), axis1=2, axis2=3)  # (N, horizon, D)
        return Forecast(
            series.names,
            [series.future_stamps(i, horizon) for i in range(len(series))],
            self._rows(ahead.mean.asnumpy() * scale + centre),
            self._rows(np.sqrt(variance) * scale),
            Transform(),
        )

    def _figures(self, net: Any) -> dict[str, Any]:
        system = net.in_units()
        eigenvalues = np.linalg.eigvals(system.A)
        slowest = eigenvalues[np.argmax(np.abs(eigenvalues))]
        turn = abs(np.angle(slowest))
        values = net.standardized(self.learned)
        units = float(np.sum(~np.isnan(self.learned) * np.log(net.units()[1])))
        likelihood = float(filter(values, *net.system()).log_likelihood.asnumpy().sum()) - units
        figures = {
            "log_likelihood": likelihood,
            "log_likelihood_per_value": likelihood / _count(self.learned),
            "radius": float(abs(slowest)),
            "period": 2 * math.pi / turn if turn > 1e-9 else None,
        }
        truth = getattr(self.dataset, "system", None)
        if truth is not None and not self.multivariate:
            known = (mx.nd.array(x, dtype="float64") for x in truth)
            found = filter(self.learned, *known).log_likelihood
            figures["log_likelihood_of_truth"] = float(found.asnumpy().sum())
        return figures

    def _parameters(self, net: Any) -> dict[str, Any]:
        system = net.in_units()
        eigenvalues = np.linalg.eigvals(system.A)
        return {
            **system._asdict(),
            "center": net.units()[0],
            "eigenvalues_of_A": [[float(e.real), float(e.imag)] for e in eigenvalues],
        }

    def _table(self, states: States) -> str:
        """One row a series and step: filtered and smoothed means and standard deviations."""
        parts: dict[str, Any] = {"filtered": states.filtered, "smoothed": states.smoothed}
        H = states.smoothed.mean.shape[2]
        header = ["series", "stamp"]
        columns = []
        for name, part in parts.items():
            deviation = np.sqrt(np.maximum(np.diagonal(part.cov, axis1=2, axis2=3), 0.0))
            for h in range(H):
                header += [f"{name}_{h + 1}", f"{name}_{h + 1}_deviation"]
                columns += [part.mean[:, :, h], deviation[:, :, h]]
        names = ["all columns"] if self.multivariate else self.series.names
        rows = [
            [name, stamp, *(f"{column[n, t]:.8g}" for column in columns)]
            for n, name in enumerate(names)
            for t, stamp in enumerate(stamp_text(self.series.stamps[n]))
        ]
        return table(header, rows)

    def _plot(
        self,
        net: Any,
        run: RunDirectory,
        states: States,
        future: Forecast,
        held: Optional[Forecast],
    ) -> None:
        system, (centre, scale) = net.system(), net.units()
        B, noise = system.B.asnumpy(), np.diag(system.S_v.asnumpy())

        def seen(mean: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Mean and variance of the noise-free observation, a row a column, in data units."""
            variance = np.einsum("dh,nthk,dk->ntd", B, cov, B)
            return self._rows(mean @ B.T * scale + centre), self._rows(variance * scale**2)

        f, s = states
        fitted, _ = seen(f.predicted_mean, f.predicted_cov)
        signals = {"filtered": seen(f.mean, f.cov), "smoothed": seen(s.mean, s.cov)}
        for i in range(min(self.plots, len(self.series))):
            d = i if self.multivariate else 0
            lds_plots.states(
                run.plots / f"states-{i + 1}.png",
                self.series,
                i,
                {name: (mean[i], variance[i]) for name, (mean, variance) in signals.items()},
                float(noise[d] * scale[d] ** 2),
            )
            plots.forecast(
                run.plots / f"forecast-{i + 1}.png",
                self.series,
                i,
                fitted,
                future,
                held,
                self.levels,
            )


def _loss_of_all(nets: Any, shard: Any, carry: Any) -> Any:
    """As the task's loss, with the held-out values."""
    values, _, observed = shard
    return nets(values, observed)


def _statistics(net: Any, shard: Any) -> em.Statistics:
    values, learned, _ = shard
    known = np.where(learned.asnumpy() > 0, values.asnumpy(), np.nan)
    return em.e_step_statistics(net.standardized(known), net.system(values.context))


def _states(net: Any, values: np.ndarray) -> States:
    """Filtered and smoothed states of (N, T, D) in data units."""
    system = net.system()
    filtered = filter(net.standardized(values), *system)
    smoothed = smooth(filtered, system.A, system.S_h)
    return States(
        Filtered(*(x.asnumpy() for x in filtered)), Smoothed(*(x.asnumpy() for x in smoothed))
    )


def _count(values: np.ndarray) -> int:
    return int(np.sum(~np.isnan(values)))


def _aligned(found: SeriesSet) -> SeriesSet:
    """All columns from the first stamp of any to the last of any, NaN where one has no value."""
    stamps = np.unique(np.concatenate(found.stamps))
    steps, fits = found.frequency.positions(stamps)
    if not fits.all():
        raise ConfigError(
            f"the columns of {found.source} do not share one grid of stamps",
            "Leave task.multivariate out, or bring them to the same stamps.",
        )
    grid = found.frequency.grid(stamps, np.arange(steps[-1] + 1))
    values = np.full((len(found), len(grid)), np.nan)
    place = dict(zip(stamps.tolist(), steps.tolist()))
    for i, own in enumerate(found.stamps):
        values[i, [place[stamp] for stamp in own.tolist()]] = found.values[i, : len(own)]
    return replace(found, values=values, stamps=[grid] * len(found))
