"""How fast many series are fitted, and how well: dope, statsmodels and statsforecast in one run.

Not part of the test suite. Run it alone, on a quiet machine::

    python benchmarks/timeseries.py --statsforecast PATH/TO/ITS/python

statsforecast needs an environment of its own (``pip install statsforecast``); without the option
it is left out. Results go to ``benchmarks/timeseries.json`` and into ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, Optional

import numpy as np

import dope
import dope.core.trainer
from dope.core.callbacks import Callback
from dope.plugins.timeseries.innovations import Structure
from dope.plugins.timeseries.series import Simulated

sys.path.insert(0, str(Path(__file__).resolve().parent))
import results

CASES = {"trend": (100, 1), "seasonal": (120, 12)}  # length, season
SUBSET = {"same model": 20, "UnobservedComponents": 20, "ETSModel": 100}

PEER = """
import sys, time, warnings, numpy as np
warnings.simplefilter("ignore")
from statsforecast.models import AutoETS
values = np.load(sys.argv[1])["values"]
season, form = int(sys.argv[2]), sys.argv[3]
AutoETS(season_length=season, model=form).fit(values[0])  # compile first
began = time.perf_counter()
models = [AutoETS(season_length=season, model=form, damped=False).fit(y) for y in values]
found = [each.model_["loglik"] for each in models]
print(time.perf_counter() - began, np.median(found))
"""


class Clock(Callback):
    """Notes when training ends: plots and tables are not part of the comparison."""

    def on_fit_end(self, trainer: Any, status: str) -> None:
        self.ended = time.perf_counter()


def dope_fit(kind: str, series: int, length: int, season: int) -> tuple[float, np.ndarray]:
    """Seconds from the call to the end of the fit, start values and graphs included."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = dope.run(
            "timeseries.issm",
            dataset=_dataset(kind, series, length, season),
            model={"seasonal": season},
            task={"plots": 0},
            runs=folder,
            callbacks=[clock],
        )
    return clock.ended - began, run.task.net.trajectory().log_likelihood


def _dataset(kind: str, series: int, length: int, season: int) -> dict[str, Any]:
    return {
        "name": "timeseries.simulated",
        "kind": kind,
        "series": series,
        "length": length,
        "season": season,
        "seed": 1,
    }


def same_model(values: np.ndarray, season: int) -> tuple[float, np.ndarray]:
    """The same model and the same marginal likelihood in statsmodels' state-space class."""
    from statsmodels.tsa.statespace.mlemodel import MLEModel

    structure = Structure(True, season)
    basis, kappa = structure.free_to_state(), 1e7

    class Same(MLEModel):
        def __init__(self, y: np.ndarray) -> None:
            super().__init__(y, k_states=structure.size, k_posdef=1)
            self["design"] = structure.emission()[None]
            self["transition"] = structure.transition()
            self["state_cov"] = np.eye(1)
            self.ssm.initialize_known(np.zeros(structure.size), kappa * basis @ basis.T)
            self.ssm.loglikelihood_burn = 0

        @property
        def start_params(self) -> np.ndarray:
            return np.log([*(0.3, 0.03, 0.1)[: len(structure.strengths)], 1.0])

        def update(self, params: np.ndarray, **kwargs: Any) -> None:
            strengths = np.exp(super().update(params, **kwargs))
            self["selection"] = structure.innovation_vector(strengths[:-1])[:, None]
            self["obs_cov"] = [[strengths[-1] ** 2]]

    began, found = time.perf_counter(), []
    for y in values:
        scale = y.std()
        fitted = Same((y - y.mean()) / scale).fit(disp=False, maxiter=200)
        marginal = fitted.llf + 0.5 * structure.free * np.log(2 * np.pi * kappa)
        found.append(marginal - (len(y) - structure.free) * np.log(scale))
    return time.perf_counter() - began, np.array(found)


def unobserved_components(values: np.ndarray, season: int) -> tuple[float, np.ndarray]:
    from statsmodels.tsa.statespace.structural import UnobservedComponents

    began, found = time.perf_counter(), []
    for y in values:
        seasonal = {"seasonal": season} if season > 1 else {}
        model = UnobservedComponents(y, "local linear trend", **seasonal)
        found.append(model.fit(disp=False, maxiter=200).llf)
    return time.perf_counter() - began, np.array(found)


def ets_model(values: np.ndarray, season: int) -> tuple[float, np.ndarray]:
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    began, found = time.perf_counter(), []
    for y in values:
        seasonal = {"seasonal": "add", "seasonal_periods": season} if season > 1 else {}
        found.append(ETSModel(y, trend="add", **seasonal).fit(disp=False).llf)
    return time.perf_counter() - began, np.array(found)


def statsforecast(python: str, values: np.ndarray, season: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "values.npz"
        np.savez(path, values=values)
        form = "AAA" if season > 1 else "AAN"
        command = [python, "-c", PEER, str(path), str(season), form]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, likelihood = answer.split()[-2:]
    return float(seconds), float(likelihood)


def measure(kind: str, series: int, rounds: int, python: Optional[str]) -> list[dict[str, Any]]:
    """One row a tool: milliseconds a series (median of rounds for dope) and likelihoods."""
    length, season = CASES[kind]
    values = Simulated(
        **{k: v for k, v in _dataset(kind, series, length, season).items() if k != "name"}
    )
    values = values.load().values
    runs = [dope_fit(kind, series, length, season) for _ in range(rounds)]
    ours = runs[0][1]
    seconds = [each[0] for each in runs]
    rows = [_row(kind, "dope timeseries.issm", np.median(seconds) / series, series, ours)]
    rows[0]["rounds_ms"] = [round(1e3 * s / series, 3) for s in seconds]
    peers = {
        "same model": same_model,
        "UnobservedComponents": unobserved_components,
        "ETSModel": ets_model,
    }
    for name, peer in peers.items():
        part = values[: SUBSET[name]]
        took, found = peer(part, season)
        rows.append(_row(kind, f"statsmodels {name}", took / len(part), len(part), found))
        if name == "same model":
            gain = ours[: len(part)] - found
            rows[-1]["dope_minus_peer_nats"] = [float(gain.min()), float(np.median(gain))]
            rows[-1]["within_0.1_or_better"] = int(np.sum(gain > -0.1))
    if python:
        took, likelihood = statsforecast(python, values, season)
        rows.append(_row(kind, "statsforecast AutoETS", took / series, series, likelihood))
    return rows


def _row(kind: str, tool: str, seconds: float, n: int, likelihood: Any) -> dict[str, Any]:
    median = float(np.median(likelihood))
    return {"case": kind, "tool": tool, "ms": 1e3 * float(seconds), "series": n, "median": median}


def page(rows: list[dict[str, Any]]) -> str:
    """The table as Markdown."""
    heads = ["case", "tool", "ms a series", "series timed", "median log-likelihood"]
    cells = [
        [row["case"], row["tool"], f"{row['ms']:.2f}", row["series"], f"{row['median']:.2f}"]
        for row in rows
    ]
    return results.table(heads, cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--statsforecast", metavar="PYTHON", help="python of its environment")
    parser.add_argument("--no-write", action="store_true", help="print only")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    made: dict[str, Any] = {"machine": results.machine(), "python": platform.python_version()}
    rows = []
    for kind in CASES:
        rows += measure(kind, given.series, given.rounds, given.statsforecast)
        print(page(rows), file=sys.stderr)
    made["rows"] = rows
    if not given.no_write:
        results.write("timeseries", made, page(rows))
    print(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
