"""House prices: Kaggle's two files, or generated houses in the same columns; the submission.

Holds the data set and the task; what becomes of a table is table_data.py's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Optional, Tuple

import numpy as np

from dope.core.errors import ConfigError
from dope.core.rundir import RunDirectory
from dope.plugins.tabular.columns import Wishes
from dope.plugins.tabular.encoding import Scaling
from dope.plugins.tabular.houses_generated import TARGET, generated
from dope.plugins.tabular.table import Absent, Table, read_table
from dope.plugins.tabular.table_data import TableData
from dope.plugins.tabular.table_task import TableTask

FILES = "https://www.kaggle.com/c/house-prices-advanced-regression-techniques/data"


class HousePrices(TableData):
    """Prices of houses from 79 columns: Kaggle's files, or generated houses of the same columns.

    Parameters
    ----------
    path
        Folder with ``train.csv`` and ``test.csv``; by default houses are generated.
    train, test
        How many houses are generated with prices, and without.
    noise
        Of generated houses: standard deviation of the logarithm of a price around the truth. No
        log-RMSE can be below it, but by chance.
    valid
        Share of the houses with prices that is held out. With ``trainer.folds`` each fold is held
        out once, and the last training takes all.
    scale_target
        What a model learns of a price: as it is, standardized, or its logarithm standardized.
    categorical
        Columns of numbers that stand for words.
    left_out
        Columns not to learn from.
    log_skew, clip, rare, ranks
        As in ``tabular.csv``.
    seed
        Of the rows that are held out, and of generated houses.

    Raises
    ------
    ConfigError, DataError
        An option is out of range, or a file cannot be read as what it should be.
    """

    def __init__(
        self,
        *,
        path: Optional[Path] = None,
        train: int = 1000,
        test: int = 1000,
        noise: float = 0.1,
        valid: float = 0.0,
        scale_target: Literal["none", "standard", "log"] = "log",
        categorical: Tuple[str, ...] = ("MSSubClass",),
        left_out: Tuple[str, ...] = (),
        log_skew: Optional[float] = 1.5,
        clip: Optional[float] = 3.0,
        rare: int = 3,
        ranks: Tuple[str, ...] = ("Po<Fa<TA<Gd<Ex",),
        seed: int = 0,
    ) -> None:
        if train < 10 or test < 0 or noise < 0:
            raise ConfigError(
                "dataset.train, test or noise is out of range", "train is at least 10."
            )
        super().__init__(
            target=TARGET,
            kind="regression",
            scale_target=scale_target,
            valid=valid,
            skip=False,
            seed=seed,
            wishes=Wishes(
                categorical=categorical,
                identifier=("Id",),
                left_out=left_out,
                missing=("", "NA"),
            ),
            scaling=Scaling(log_skew, clip, rare, 100, ranks),
        )
        self.path, self.sizes, self.noise = path, (train, test), noise

    def tables(self) -> tuple[Table, Optional[Table]]:
        """Houses with prices, and those to predict."""
        if self.path is None:
            train, test = generated(*self.sizes, noise=self.noise, seed=self.seed)
            return train, test if len(test) else None
        folder = self.path.expanduser()
        absent = [f for f in ("train.csv", "test.csv") if not (folder / f).is_file()]
        if absent:
            raise Absent(
                f"{folder} has no {' and no '.join(absent)} (dataset.path)",
                f"Put Kaggle's train.csv and test.csv there, from {FILES}",
            )
        train, test = (self.open(folder / name) for name in ("train.csv", "test.csv"))
        for table in (train, test):
            table.require("Id", "which the submission is written by")
        return train, test

    def open(self, path: Path) -> Table:
        """Another file, read as these are."""
        return read_table(path.expanduser(), delimiter=",")


class HousePricesTask(TableTask):
    """Predict the prices of houses, by k-fold cross-validation, and write a submission.

    Parameters
    ----------
    importance
        Times that each column is shuffled to see how much worse predictions become; 0 leaves that
        out.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "tabular.house_prices",
        "model": {"name": "tabular.wide_deep", "input_dropout": 0.05},
        "loss": {"name": "losses.huber", "rho": 0.3},
        "optimizer": {"name": "adam", "learning_rate": 0.003, "wd": 0.03},
        "trainer": {
            "epochs": 60,
            "batch_size": 64,
            "folds": 5,
            "schedule": "cosine",
            "evaluate_every": 10,
            "monitor": "loss",
        },
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {},
        "book": {
            "dataset": {
                "name": "tabular.house_prices",
                "scale_target": "none",
                "categorical": [],
                "log_skew": None,
                "clip": None,
                "rare": 1,
                "ranks": [],
            },
            "model": {"name": "tabular.linear", "init": "zero"},
            "loss": "losses.l2",
            "optimizer": {"name": "adam", "learning_rate": 5.0},
            "trainer": {"epochs": 100, "batch_size": 100, "schedule": "constant"},
        },
        "tiny": {
            "dataset": {
                "name": "tabular.house_prices",
                "train": 120,
                "test": 10,
                "valid": 0.25,
            },
            "model": {"name": "tabular.wide_deep", "hidden": [8], "members": 2, "dropout": 0.1},
            "trainer": {"epochs": 2, "folds": 1, "evaluate_every": 1},
        },
    }

    def __init__(self, *, importance: int = 1) -> None:
        super().__init__(importance=importance)

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """As for any table; and prices of the houses without one in ``submission.csv``."""
        figures = super().report(nets, run)
        if self.dataset.path is None:
            figures["noise_floor"] = self.dataset.noise
        if self.dataset.more is not None and not self.dataset.folded:
            figures["submission"] = self._submit(nets, run)
        return figures

    def _submit(self, nets: Any, run: RunDirectory) -> str:
        table = self.dataset.more
        prices = self.predicted(nets, self.dataset.encoding(table))
        if not (np.isfinite(prices).all() and (prices > 0).all()):
            low = int((~(prices > 0)).sum())
            run.log(
                f"warning: {low} prices of {len(prices)} are not above 0; they are written as 1"
            )
            prices = np.where(prices > 0, prices, 1.0)
        lines = [f"{i},{price:.2f}" for i, price in zip(table["Id"], prices)]
        run.write_text("submission.csv", "\n".join(["Id,SalePrice", *lines]) + "\n")
        return f"submission.csv, {len(lines)} rows"
