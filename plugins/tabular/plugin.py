"""What the tabular domain registers: names and where they are found, nothing more.

Imports neither MXNet nor NumPy: the classes are loaded when a run asks for them.
"""

from __future__ import annotations

from dope.core.hookspecs import Register, hookimpl

HERE = "dope.plugins.tabular"


@hookimpl
def register_tasks(register: Register) -> None:
    shipped = {
        "covariate_shift": (
            "covariate_shift:CovariateShift",
            "Weight examples by a classifier where inputs have shifted",
        ),
        "csv": ("table_task:TableTask", "Predict a column of any table: a number, or a class"),
        "house_prices": (
            "house_prices:HousePricesTask",
            "Predict prices of houses by k-fold cross-validation",
        ),
        "linear_regression": ("linear_regression:LinearRegression", "Fit a line or a plane"),
        "perceptron": (
            "perceptron:Perceptron",
            "Separate two classes by learning from mistakes",
        ),
        "quadratic": ("quadratic:Quadratic", "Draw the path of an optimizer down a valley"),
    }
    for name, (target, summary) in shipped.items():
        register(f"tabular.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_models(register: Register) -> None:
    shipped = {
        "linear": ("dense:Linear", "One linear layer"),
        "mlp": ("dense:MLP", "Dense layers, with dropout if asked"),
        "wide_deep": ("wide_deep:WideDeep", "A linear and a deep part, several of them averaged"),
    }
    for name, (target, summary) in shipped.items():
        register(f"tabular.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_datasets(register: Register) -> None:
    shipped = {
        "csv": ("csv_data:Csv", "Any CSV file, its columns typed by looking"),
        "house_prices": (
            "house_prices:HousePrices",
            "Kaggle's houses, or generated ones like them",
        ),
        "margin": ("margin:Margin", "Two classes apart by a known margin, generated"),
        "plane": ("plane:Plane", "Points of a plane with noise, generated"),
        "shifted": ("shifted:Shifted", "Inputs whose distribution shifts, generated"),
        "valley": ("valley:Valley", "Points with an ill-conditioned squared error, generated"),
    }
    for name, (target, summary) in shipped.items():
        register(f"tabular.{name}", f"{HERE}.{target}", summary=summary)
