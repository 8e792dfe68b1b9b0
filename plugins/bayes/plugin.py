"""What the Bayesian domain registers: names and where they are found, nothing more.

Imports neither MXNet nor NumPy: the classes are loaded when a run asks for them.
"""

from __future__ import annotations

from dope.core.hookspecs import Register, hookimpl

HERE = "dope.plugins.bayes"


@hookimpl
def register_tasks(register: Register) -> None:
    register(
        "bayes.by_backprop",
        f"{HERE}.classification:BayesianClassifier",
        summary="Classify by any network with a distribution over its weights",
    )
    register(
        "bayes.regression",
        f"{HERE}.regression:BayesianRegression",
        summary="Fit a curve by a network with a distribution over its weights, with its band",
    )


@hookimpl
def register_datasets(register: Register) -> None:
    register(
        "bayes.curve", f"{HERE}.curve:Curve", summary="A noisy curve of one variable, generated"
    )
