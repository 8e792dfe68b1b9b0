"""What the domain of recommenders registers: names and where they are found, nothing more.

Imports neither MXNet nor NumPy: the classes are loaded when a run asks for them.
"""

from __future__ import annotations

from dope.core.hookspecs import Register, hookimpl

HERE = "dope.plugins.recsys"


@hookimpl
def register_tasks(register: Register) -> None:
    register(
        "recsys.ratings",
        f"{HERE}.recommend:Recommender",
        summary="Predict ratings and recommend: mean, biases, matrix factorization, SVD++",
    )


@hookimpl
def register_models(register: Register) -> None:
    shipped = {
        "mean": ("mean:Mean", "The mean rating, for all"),
        "bias": ("bias:Bias", "The mean, and a bias for each user and each item"),
        "mf": ("mf:MF", "Matrix factorization with biases, and SVD++"),
    }
    for name, (target, summary) in shipped.items():
        register(f"recsys.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_losses(register: Register) -> None:
    shipped = {
        "bpr": ("objectives:BPR", "Each liked item above others: Bayesian personalized ranking"),
        "sampled_softmax": (
            "objectives:SampledSoftmax",
            "Cross-entropy of the liked item among some drawn ones",
        ),
    }
    for name, (target, summary) in shipped.items():
        register(f"recsys.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_datasets(register: Register) -> None:
    shipped = {
        "generated": ("generated:Generated", "Ratings with known biases and factors, generated"),
        "movielens": ("movielens:MovieLens", "MovieLens: u.data, ratings.dat or ratings.csv"),
        "amazon": ("amazon:Amazon", "Amazon reviews, JSON lines"),
        "table": ("table:Table", "Your own: any CSV of user, item, rating and time"),
    }
    for name, (target, summary) in shipped.items():
        register(f"recsys.{name}", f"{HERE}.{target}", summary=summary)
