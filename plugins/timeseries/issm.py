"""The innovation state-space model: parameters learned by maximum likelihood, and its task.

Holds what is learned and how; the filter is innovations.py's, forecasts are forecasting.py's.
"""

from __future__ import annotations

import math
from typing import Any, List, Literal, Optional, Union

import numpy as np

from dope.core.backend import mx, nd
from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError, DataError
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory
from dope.core.task import Task
from dope.plugins.timeseries import plots
from dope.plugins.timeseries.forecasting import Forecast, baselines, table
from dope.plugins.timeseries.innovations import (
    FLOOR,
    RIDGE,
    DifferencedLikelihood,
    Gains,
    Innovations,
    Structure,
    Trajectory,
    filter_states,
)
from dope.plugins.timeseries.shaping import SeriesSet
from dope.plugins.timeseries.transforms import Transform

BLOCK = 24  # time steps unrolled into one graph, at most: fewer calls, but a longer first build
START = {"level": (-2.0, -0.5, 1.0), "trend": (-4.0, -2.0), "season": (-3.0, -1.0)}
START_DAMPING = 2.2  # the logit of 0.9
LIMITS = (-30.0, 12.0)  # of the logarithms of strengths over sigma
STEPS = 5  # quasi-Newton steps that make an epoch
MANY, PIECES = 64, 8  # a set of MANY series shrinks by eighths: each new size builds new graphs
GREEK = {"level": "alpha", "trend": "beta", "season": "gamma"}  # names of the strengths
DAMPING = ("level_damping", "trend_damping")

NO_NETWORK = (
    "a forecast begins by estimating the first state and the noise of each series from its whole "
    "history, in NumPy; what is learned is a few numbers for each series, in its parameters.csv"
)


class InnovationModel(mx.gluon.Block):
    """One innovation state-space model for each series, with the strengths as parameters.

    Calling it gives each series' negative log-likelihood, marginal over the initial state (a flat
    prior on its free values) and maximized in closed form over the noise sigma. What is left to
    learn are the logarithms of the strengths over sigma, and the logits of damping factors. The
    initial state is then the most likely one, in closed form too.

    A likelihood at a *fitted* initial state has no maximum: as sigma goes to 0 the first values
    are fitted exactly, and it grows without bound (docs/errata.md).

    Parameters
    ----------
    trend
        Whether the state has a slope.
    seasonal
        Period of the season in steps; null takes the data's, 1 has no season.
    level_damping
        Factor on the level at each step, above 0 and at most 1, or "learn".
    trend_damping
        Factor on the slope at each step, above 0 and at most 1, or "learn".
    transform
        Model the values, their logarithm, or their Box-Cox transform.
    boxcox_lambda
        Exponent of the Box-Cox transform: 1 changes nothing, 0 is the logarithm.
    """

    def __init__(
        self,
        data: SeriesSet,
        *,
        trend: bool = True,
        seasonal: Optional[int] = None,
        level_damping: Union[float, Literal["learn"]] = 1.0,
        trend_damping: Union[float, Literal["learn"]] = 1.0,
        transform: Literal["none", "log", "boxcox"] = "none",
        boxcox_lambda: float = 0.5,
    ) -> None:
        super().__init__()
        period = data.season if seasonal is None else seasonal
        self.structure = Structure(trend, period)
        self.fixed_damping = {"level_damping": level_damping, "trend_damping": trend_damping}
        self._check(data, period)
        self.transform = Transform.named(transform, boxcox_lambda)
        self.data = data
        self.values, self.mask = _aligned(self.transform.forward(data))
        seen = np.where(self.mask, self.values, np.nan)
        # A damped level is drawn to zero, so that zero must stay where it is.
        self.centre = np.nanmean(seen, axis=1) * (level_damping == 1.0)
        spread = np.nanstd(seen, axis=1)
        self.spread = np.where(spread > 0, spread, 1.0)
        self._check_lengths(data)
        self._build()
        self.strengths = self.params.get(
            "strengths",
            shape=(len(data), len(self.names)),
            dtype="float64",
            init=_Values(self._start),
        )

    def _build(self) -> None:
        """Choose the recursion: differenced where nothing is missing, else the general one."""
        level, trend = (self.fixed_damping[key] for key in DAMPING)
        gaps = bool((~self.mask[:, :-1] & self.mask[:, 1:]).any())
        self.differenced = not gaps and level == 1.0 and trend != "learn"
        structure = self.structure
        total = self.values.shape[1] - structure.free * self.differenced
        self.steps = -(-total // -(-total // BLOCK))  # as long as BLOCK, with little to fill up
        if self.differenced:
            noise, pairs = structure.autocovariance_basis(float(trend))
            self._noise, self._pairs = (nd.array(a, dtype="float64") for a in (noise, pairs))
            self._log_determinant = structure.log_determinant(1.0, float(trend))
            self.recursion = DifferencedLikelihood(structure.free, self.steps)
        else:
            damped = (level != 1.0, trend != 1.0)
            self.gains = Gains(structure, self.steps, damped)
            self.innovations = Innovations(structure, self.steps, damped)

    @property
    def names(self) -> List[str]:
        """Columns of the parameter: strengths, then damping factors that are learned."""
        learned = [key for key, value in self.fixed_damping.items() if value == "learn"]
        return [*self.structure.strengths, *learned]

    def _check(self, data: SeriesSet, period: int) -> None:
        if period < 1:
            raise ConfigError(f"model.seasonal={period} is out of range", "Use 1 for no season.")
        for key, value in self.fixed_damping.items():
            if value != "learn" and not 0 < float(value) <= 1:
                raise ConfigError(
                    f"model.{key}={value} is out of range", "It is above 0 and at most 1, or learn."
                )
        if self.fixed_damping["trend_damping"] != 1.0 and not self.structure.trend:
            raise ConfigError("model.trend_damping is set without a trend", "Add model.trend=true.")

    def _check_lengths(self, data: SeriesSet) -> None:
        need = self.structure.free + len(self.names) + 2
        counts = self.mask.sum(axis=1)
        if counts.min() < need:
            i = int(np.argmin(counts))
            raise DataError(
                f"series '{data.names[i]}' has {counts[i]} values to learn from, "
                f"this model needs {need}",
                "Try model.seasonal=1, model.trend=false or a smaller dataset.holdout.",
            )

    def batches(self, repeats: int) -> ArrayBatches:
        """All series as one batch of (rows, values, mask), gone through ``repeats`` times."""
        values = np.where(self.mask, self.values - self.centre[:, None], 0.0)
        values, mask = values / self.spread[:, None], self.mask.astype("float64")
        if self.differenced:
            polynomial = self.structure.differencing(float(self.fixed_damping["trend_damping"]))
            order = len(polynomial) - 1
            total = values.shape[1] - order
            values = sum(c * values[:, order - j :][:, :total] for j, c in enumerate(polynomial))
            mask = mask[:, order:]
        width = ((0, 0), (0, -values.shape[1] % self.steps))
        rows = np.arange(len(values), dtype="int32")
        return ArrayBatches((rows, np.pad(values, width), np.pad(mask, width)), repeats=repeats)

    def forward(self, rows: Any, values: Any, mask: Any) -> Any:
        """Negative log-likelihood of each series in nats, on the scale of its standardized values.

        Parameters
        ----------
        rows
            (B,) which series these are.
        values, mask
            (B, T) as `batches` gives them; the mask is 0 where nothing was observed.

        Returns
        -------
        NDArray
            (B,).
        """
        strengths = nd.take(self.strengths.data(values.context), rows)
        return self._nll(strengths, values.transpose(), mask.transpose())

    def _nll(self, strengths: Any, z: Any, mask: Any) -> Any:
        # strengths (B, p) logarithms; z, mask (T, B)
        if self.differenced:
            squares, logs = self._differenced_sums(strengths, z, mask)
            degrees, logs = nd.sum(mask, axis=0), logs + 2 * self._log_determinant
        else:
            squares, logs = self._augmented_sums(strengths, z, mask)
            degrees = nd.sum(mask, axis=0) - self.structure.free
        sigma2 = squares / degrees + FLOOR
        return 0.5 * (degrees * (nd.log(sigma2) + 1 + math.log(2 * math.pi)) + logs)

    def _differenced_sums(self, strengths: Any, w: Any, mask: Any) -> tuple[Any, Any]:
        """Sums of v^2 / S and log S, (B,) each, from the differenced series w (T, B)."""
        here, count = strengths.context, strengths.shape[0]
        ratios = _positive(strengths).transpose()  # (p, B)
        pairs = [
            ratios[i : i + 1] * ratios[j : j + 1]
            for i, j in zip(*np.triu_indices(len(self.structure.strengths)))
        ]
        made = nd.dot(self._pairs.as_in_context(here), nd.concat(*pairs, dim=0))
        covariance = nd.broadcast_add(made, self._noise.as_in_context(here).expand_dims(1))
        variance, u = covariance[:1], covariance[1:]
        v, ahead = u, nd.zeros((self.structure.free, count), ctx=here, dtype="float64")
        squares, logs = [], []
        for seen, counted in zip(self._blocks(w), self._blocks(mask)):
            square, log, variance, u, v, ahead = self.recursion(
                seen, counted, variance, u, v, ahead
            )
            squares.append(square)
            logs.append(log)
        return nd.add_n(*squares).reshape((-1,)), nd.add_n(*logs).reshape((-1,))

    def _augmented_sums(self, strengths: Any, z: Any, mask: Any) -> tuple[Any, Any]:
        """The same with the initial state integrated out of an augmented filter (de Jong 1991).

        The errors are linear in the initial state: one column of the filter starts at zero and
        sees the data, the others start at the free directions and see nothing.
        """
        g, damping = self._system(strengths)
        gains, variance = self._gains(g, damping, mask)  # variance (T, B)
        (total, count), free = z.shape, self.structure.free
        like = {"ctx": z.context, "dtype": "float64"}
        basis = nd.array(self.structure.free_to_state(), **like)  # (H, H0)
        x = nd.concat(nd.zeros((basis.shape[0], 1), **like), basis, dim=1).expand_dims(2)
        x = nd.broadcast_to(x, (basis.shape[0], free + 1, count))
        seen = nd.concat(z.expand_dims(1), nd.zeros((total, free, count), **like), dim=1)
        errors = []
        for gain, block in zip(gains, self._blocks(seen)):
            error, x = self.innovations(x, gain, block, *damping)
            errors.append(error)
        weight = (mask * nd.rsqrt(variance)).expand_dims(1)  # sqrt(mask) has no gradient at 0
        errors = nd.broadcast_mul(nd.concat(*errors, dim=0), weight).transpose((2, 0, 1))
        gram = nd.batch_dot(errors, errors, transpose_a=True)  # (B, 1 + H0, 1 + H0)
        ridge = RIDGE * nd.eye(free, **like).expand_dims(0)
        factor = nd.linalg.potrf(nd.broadcast_add(gram[:, 1:, 1:], ridge))
        half = nd.linalg.trsm(factor, gram[:, 1:, :1])
        squares = gram[:, 0, 0] - nd.sum(nd.square(half), axis=(1, 2))
        logs = nd.sum(nd.log(variance) * mask, axis=0) + 2 * nd.linalg.sumlogdiag(factor)
        return squares, logs

    def _system(self, strengths: Any) -> tuple[Any, list[Any]]:
        """g (H, 1, B) over sigma, and the damping factors that are not 1, (1, 1, B) each."""
        structure, count = self.structure, strengths.shape[0]
        like = {"ctx": strengths.context, "dtype": "float64"}
        columns = _positive(strengths).transpose()
        parts = [columns[: 1 + structure.trend]]
        if structure.seasonal:
            last = len(structure.strengths) - 1
            parts += [nd.zeros((structure.season - 1, count), **like), columns[last : last + 1]]
        damping = []
        for key, value in self.fixed_damping.items():
            if value == "learn":
                column = self.names.index(key)
                learned = nd.sigmoid(strengths[:, column : column + 1])
                damping.append(learned.reshape((1, 1, count)))
            elif value != 1.0:
                damping.append(nd.full((1, 1, count), float(value), **like))
        return nd.concat(*parts, dim=0).expand_dims(1), damping

    def _gains(self, g: Any, damping: list[Any], mask: Any) -> tuple[list[Any], Any]:
        """Gains (H, steps, B) of each block of time, and innovation variances (T, B)."""
        size, _, count = g.shape
        cov = nd.zeros((size, size, count), ctx=g.context, dtype="float64")
        gains, variances = [], []
        for observed in self._blocks(mask):
            gain, variance, cov = self.gains(cov, g, observed.expand_dims(0), *damping)
            gains.append(gain)
            variances.append(variance)
        return gains, nd.concat(*variances, dim=1).reshape((-1, count))

    def _blocks(self, array: Any) -> list[Any]:
        """(T, ...) cut into pieces of ``steps``."""
        return [array[i : i + self.steps] for i in range(0, array.shape[0], self.steps)]

    def _start(self) -> np.ndarray:
        """The best of a few starting points for each series, (N, p)."""
        grids = [START[key] for key in self.structure.strengths]
        learned = len(self.names) - len(grids)
        points = np.array(np.meshgrid(*grids)).reshape(len(grids), -1).T
        points = np.hstack([points, np.full((len(points), learned), START_DAMPING)])
        (_, values, mask), *_ = self.batches(1)
        z, seen = values.transpose(), mask.transpose()
        scores = [
            self._nll(nd.array(np.tile(p, (len(values), 1)), dtype="float64"), z, seen).asnumpy()
            for p in points
        ]
        return points[np.argmin(np.nan_to_num(np.array(scores), nan=np.inf), axis=0)]

    def learned(self) -> dict[str, np.ndarray]:
        """Strengths over sigma and damping factors of each series, (N,) each, by name."""
        values = self.strengths.list_data()[0].asnumpy()
        found: dict[str, np.ndarray] = {}
        for column, name in enumerate(self.names):
            raw = values[:, column]
            damping = name.endswith("damping")
            found[name] = 1 / (1 + np.exp(-raw)) if damping else np.exp(np.clip(raw, *LIMITS))
        for key, value in self.fixed_damping.items():
            if value != "learn":
                found[key] = np.full(len(values), float(value))
        return found

    def trajectory(self, data: Optional[SeriesSet] = None) -> Trajectory:
        """Filter the series (of the training data, or these longer ones) with what was learned.

        The initial state and sigma are estimated anew; the strengths over sigma stay.
        """
        values, mask = _aligned(self.transform.forward(data if data is not None else self.data))
        found = self.learned()
        ratios = np.stack([found[key] for key in self.structure.strengths], axis=1)
        standard = np.where(mask, (values - self.centre[:, None]) / self.spread[:, None], np.nan)
        return filter_states(
            self.structure,
            self.structure.innovation_vector(ratios),
            standard,
            found["level_damping"],
            found["trend_damping"],
            learned=len(self.names),
        ).rescaled(self.centre, self.spread)


def _positive(logarithms: Any) -> Any:
    return nd.exp(nd.clip(logarithms, *LIMITS))


class _Values(mx.init.Initializer):
    """Initialize a parameter with what a function returns at that time."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def _init_weight(self, name: Any, arr: Any) -> None:
        arr[:] = nd.array(self.function(), dtype="float64")


def _aligned(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values with zeros where missing, and the mask of what was observed, (N, T) each."""
    mask = ~np.isnan(values)
    return np.where(mask, values, 0.0), mask


class InnovationStateSpace(Task):
    """Forecast series with level, trend and season, all strengths learned by maximum likelihood.

    Parameters
    ----------
    horizon
        Steps to forecast after the last observation; null is the held-out length, or two seasons.
    levels
        Central prediction intervals in percent.
    plots
        How many series to plot.
    """

    captions = {
        "forecast-*": (
            "The green forecast of the held-out end never saw the black values beside it: they "
            "should stay in its band. The fit follows one step behind; the orange bands should "
            "widen with the horizon."
        ),
    }
    defaults = {
        "dataset": "timeseries.co2",
        "model": {"name": "timeseries.issm"},
        "loss": None,
        "optimizer": {"name": "bfgs"},
        "trainer": {"epochs": 16, "log_every": 10, "evaluate_every": 1000},
    }
    profiles = {
        "quick": {},
        "book": {
            "dataset": "timeseries.nile",
            "model": {"name": "timeseries.issm", "trend": False, "seasonal": 1},
        },
        "tiny": {
            "dataset": {"name": "timeseries.simulated", "series": 5, "length": 24, "holdout": 4},
            "model": {"name": "timeseries.issm", "seasonal": 1},
            "task": {"plots": 0},
        },
    }
    exempt = {"other_seed": "starts at fixed values and draws nothing"}
    no_export = {"symbol": NO_NETWORK, "onnx": NO_NETWORK}

    threads = 1  # each operator is small: a second thread would only wait

    def __init__(
        self,
        *,
        horizon: Optional[int] = None,
        levels: List[float] = [50.0, 80.0, 95.0],  # noqa: B006 - copied; shows in dope show
        plots: int = 3,
    ) -> None:
        if horizon is not None and horizon < 1:
            raise ConfigError(f"task.horizon={horizon} is out of range", "It is at least 1.")
        for level in levels:
            if not 0 < level < 100:
                raise ConfigError(f"task.levels: {level} is no percentage", "Try 50,80,95.")
        self.horizon, self.levels, self.plots = horizon, sorted(set(levels)), plots

    def prepare(self) -> None:
        self.series: SeriesSet = self.dataset.load()
        self.training, self.held_out = self.series.split()
        self.notes = list(self.series.notes)

    def build(self) -> Any:
        self.net = self.model(self.training)
        return self.net

    def data(self, split: str) -> Any:
        if split != "train":
            return None
        self.batches = self.net.batches(repeats=STEPS)
        self.settled = Sum()
        return self.batches

    def loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        return nets(*shard)

    def step(self, engine: Any, batch: Any) -> dict[str, Sum]:
        """One quasi-Newton step of all series that are not settled."""
        return {"loss": engine.minimize("main", self.loss, batch) + self.settled}

    def finished(self, engine: Any) -> bool:
        """Whether all series are settled; those that are take no part in the next epoch."""
        progress = engine.rows("main")
        if progress is None:
            return False
        losses, settled = progress
        if settled.all():
            return True
        if len(settled) >= MANY:
            active = np.argsort(settled, kind="stable")  # the unsettled first, in their order
            count = -(-int((~settled).sum()) * PIECES // len(settled)) * len(settled) // PIECES
            left = np.sort(active[count:])
            self.batches.narrow(np.sort(active[:count]))
            self.settled = Sum.of(nd.array(losses[left], dtype="float64")) if len(left) else Sum()
        return False

    def evaluate(self, engine: Any) -> dict[str, float]:
        """Scores of the forecast of the held-out end; empty without one."""
        if not self.held_out.shape[1]:
            return {}
        forecast = self._forecast(self.training, self.held_out.shape[1])
        return forecast.scores(self.training, self.held_out, self.levels)

    def _forecast(self, data: SeriesSet, horizon: int) -> Forecast:
        return Forecast.of(self.net.trajectory(data), data, horizon, self.net.transform)

    def _horizon(self) -> int:
        season = self.net.structure.season
        return self.horizon or self.series.holdout or max(2 * season, 10)

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Figures, ``forecast.csv``, ``parameters.csv`` and plots of the first few series."""
        trained = self.net.trajectory()
        figures = self._figures(trained)
        held = None
        if self.held_out.shape[1]:
            steps = self.held_out.shape[1]
            held = Forecast.of(trained, self.training, steps, self.net.transform)
            figures |= held.scores(self.training, self.held_out, self.levels)
            figures["baselines"] = baselines(self.training, self.held_out, self.levels)
            run.write_text("held_out.csv", held.to_csv(self.levels, self.held_out))
        whole = self.net.trajectory(self.series)
        future = Forecast.of(whole, self.series, self._horizon(), self.net.transform)
        run.write_text("forecast.csv", future.to_csv(self.levels))
        run.write_text("parameters.csv", self._parameters(trained))
        fitted = self.net.transform.backward(whole.fitted)
        for i in range(min(self.plots, len(self.series))):
            plots.forecast(
                run.plots / f"forecast-{i + 1}.png",
                self.series,
                i,
                fitted,
                future,
                held,
                self.levels,
            )
        return figures

    def _figures(self, trained: Trajectory) -> dict[str, Any]:
        n = len(self.training)
        free = len(self.net.names) + 1 + self.net.structure.free
        likelihood = float(trained.log_likelihood.sum())
        found = {f"{GREEK.get(k, k)}": float(np.median(v)) for k, v in self._named(trained).items()}
        found = {key: value for key, value in found.items() if not key.startswith("initial")}
        return {"log_likelihood": likelihood, "aic": 2 * free * n - 2 * likelihood, **found}

    def _named(self, trained: Trajectory) -> dict[str, np.ndarray]:
        """Learned parameters of each series in its own (transformed) units, (N,) each."""
        found = dict(self.net.learned())
        for key in self.net.structure.strengths:
            found[key] = found[key] * trained.sigma
        found["sigma"] = trained.sigma
        structure = self.net.structure
        names = ["level", *(["slope"] if structure.trend else [])]
        names += [f"season_{j + 1}" for j in range(structure.season)] if structure.seasonal else []
        for j, name in enumerate(names):
            found[f"initial_{name}"] = trained.initial[:, j]
        return found

    def _parameters(self, trained: Trajectory) -> str:
        """A CSV table of what was learned, one row a series."""
        named = {**self._named(trained), "log_likelihood": trained.log_likelihood}
        header = ["series", *(GREEK.get(key, key) for key in named)]
        rows = [
            [name, *(f"{column[i]:.6g}" for column in named.values())]
            for i, name in enumerate(self.training.names)
        ]
        return table(header, rows)

    def predict(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Forecast after the last observation of the data as configured now."""
        future = self._forecast(self.series, self._horizon())
        return {"rows": future.rows(self.levels)}
