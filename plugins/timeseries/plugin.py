"""What the time-series domain registers: names and where they are found, nothing more.

Imports neither MXNet nor NumPy: the classes are loaded when a run asks for them.
"""

from __future__ import annotations

from dope.core.hookspecs import Register, hookimpl

HERE = "dope.plugins.timeseries"


@hookimpl
def register_tasks(register: Register) -> None:
    register(
        "timeseries.issm",
        f"{HERE}.issm:InnovationStateSpace",
        summary="Forecast with exponential smoothing as an innovation state-space model",
    )
    register(
        "timeseries.lds",
        f"{HERE}.lds:LinearDynamicalSystem",
        summary="Filter, smooth and learn a Gaussian linear dynamical system",
    )


@hookimpl
def register_models(register: Register) -> None:
    register(
        "timeseries.issm",
        f"{HERE}.issm:InnovationModel",
        summary="Level, trend and season with damping; one model a series",
    )
    register(
        "timeseries.lds",
        f"{HERE}.system:SystemModel",
        summary="Linear Gaussian transition and emission, shared by all series",
    )


@hookimpl
def register_datasets(register: Register) -> None:
    shipped = {
        "airline": ("Airline", "International airline passengers, monthly 1949 to 1960"),
        "co2": ("CO2", "Carbon dioxide at Mauna Loa, monthly 1958 to 2001, with gaps"),
        "csv": ("Csv", "Any CSV file of one or many series"),
        "nile": ("Nile", "Flow of the Nile at Aswan, yearly 1871 to 1970"),
        "simulated": ("Simulated", "Series drawn from the innovation state-space model"),
    }
    for name, (target, summary) in shipped.items():
        register(f"timeseries.{name}", f"{HERE}.series:{target}", summary=summary)
    register(
        "timeseries.rotation",
        f"{HERE}.rotation:Rotation",
        summary="Noisy projections of a rotating state, drawn from a known system",
    )
