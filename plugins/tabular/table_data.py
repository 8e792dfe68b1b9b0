"""A table as a data set: its parts, what is learned from training rows, batches, folds.

Holds no files: whoever has some (csv_data.py, house_prices.py) gives tables.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError, DataError
from dope.core.folds import left_out
from dope.plugins.tabular.columns import (
    CATEGORICAL,
    DATE,
    IDENTIFIER,
    LEFT_OUT,
    NUMERIC,
    Wishes,
    broken,
    unknown,
)
from dope.plugins.tabular.encoding import Encoded, Encoding, Scaling
from dope.plugins.tabular.table import SKIP, Absent, Table
from dope.plugins.tabular.target import Target, broken_targets, find_target, with_scale

USED = (NUMERIC, CATEGORICAL, DATE)


class TableData:
    """Base of data sets that are tables; a subclass has `tables`.

    Parameters
    ----------
    target
        Name of the column to predict; None where `tables` is to complain.
    kind
        ``regression``, ``classification`` or ``auto``.
    scale_target
        ``none``, ``standard`` or ``log``.
    valid
        Share of the rows that is held out.
    skip
        Leave broken rows out, counted.
    seed
        Of the rows that are held out.
    wishes, scaling
        How columns are taken.

    Attributes
    ----------
    shape : tuple of int
        Of one row as a model gets it; 0 where the file is absent.
    outputs : int
        Outputs of a model; 0 where the file is absent.
    absent : Absent or None
        Why there are no rows, where a file is not there.
    taken : dict
        Kind of each column, and why.
    """

    shape: tuple[int, ...] = (0,)
    outputs = 0
    target: Target
    encoding: Encoding

    def __init__(
        self,
        *,
        target: Optional[str],
        kind: str,
        scale_target: str,
        valid: float,
        skip: bool,
        seed: int,
        wishes: Wishes,
        scaling: Scaling,
    ) -> None:
        if not 0 <= valid < 1:
            raise ConfigError(
                f"dataset.valid={valid} is out of range", "It is at least 0 and below 1."
            )
        if scaling.rare < 1 or scaling.most_words < 1 or seed < 0:
            raise ConfigError("dataset.rare, most_words or seed is out of range", "Raise it.")
        self.asked_target, self.kind, self.scale_target = target, kind, scale_target
        self.valid, self.skip, self.seed = valid, skip, seed
        self.wishes, self.scaling = wishes, scaling
        self.missing = frozenset(wishes.missing)
        self.absent: Optional[Absent] = None
        self.folded = False
        self.taken: dict[str, tuple[str, str]] = {}
        self.table: Optional[Table] = None
        self.more: Optional[Table] = None
        self._rows: dict[str, np.ndarray] = {}
        self._encoded: dict[str, Encoded] = {}

    def tables(self) -> tuple[Table, Optional[Table]]:
        """The rows to learn from, and others: with the target to test on, else to predict."""
        raise NotImplementedError

    def read(self) -> None:
        """Read the tables and look at their columns; done once. A file may be absent.

        Raises
        ------
        DataError
            A file cannot be read, a column is missing, or a row is broken and not to be skipped.
        """
        if self.table is not None or self.absent is not None:
            return
        try:
            table, more = self.tables()
        except Absent as error:
            self.absent = error
            return
        name = self._target_name(table)
        self.target, why = find_target(table, name, self.kind, self.missing)
        self.target_why = why
        table = self._whole(table, broken_targets(table, self.target, self.missing))
        self.taken = self.wishes.kinds(table)
        self.taken.pop(name)
        self.table = self.checked(table)
        if more is not None:
            unknown(more, self.used, "the table to learn from has it")
            if name in more.columns:
                more = self._whole(more, broken_targets(more, self.target, self.missing))
            self.more = self.checked(more)
        if len(self.table) < 2:
            raise DataError(f"{self.table.file} has fewer than 2 rows to learn from", "Add some")
        self._divide()

    def _target_name(self, table: Table) -> str:
        if self.asked_target is None:
            raise ConfigError(
                f"which column of {table.file} is to be predicted?",
                f"Say dataset.target=NAME, one of: {', '.join(list(table.columns)[:30])}",
            )
        table.require(self.asked_target, "dataset.target")
        return self.asked_target

    @property
    def used(self) -> list[str]:
        """Columns that a model learns from."""
        return [name for name, (kind, _) in self.taken.items() if kind in USED]

    def checked(self, table: Table) -> Table:
        """The table without rows whose cells are not of their column's kind.

        Raises
        ------
        DataError
            There are such rows, and they are not to be skipped.
        """
        wrong: dict[int, str] = {}
        for name in self.used:
            kind = self.taken[name][0]
            if kind != CATEGORICAL:
                wrong = {**broken(table, name, kind, self.missing), **wrong}
        return self._whole(table, wrong)

    def _whole(self, table: Table, wrong: Mapping[int, str]) -> Table:
        if wrong and not self.skip:
            more = f" (and {len(wrong) - 1} more such rows)" if len(wrong) > 1 else ""
            raise DataError(wrong[min(wrong)] + more, SKIP)
        return table.without(wrong) if wrong else table

    def _divide(self) -> None:
        """Rows to learn from and held-out ones; then learn."""
        assert self.table is not None
        n = len(self.table)
        order = np.random.default_rng(self.seed).permutation(n)
        held = np.sort(order[: min(round(self.valid * n), n - 1)])
        self._learn(np.setdiff1d(np.arange(n), held), held)

    def use_all(self) -> None:
        """Learn from all rows of the table and hold none out."""
        if self.table is not None:
            self._learn(np.arange(len(self.table)), np.zeros(0, dtype=int))

    def fold(self, number: int, of: int, seed: int) -> TableData:
        """The same table; what is learned, statistics too, is from the rows of other folds.

        Raises
        ------
        ConfigError
            There are fewer rows than folds.
        """
        self.read()
        made = copy.copy(self)
        made.folded = True
        if self.table is None:
            return made
        n = len(self.table)
        if n < of:
            raise ConfigError(f"{n} rows cannot make {of} folds", "Use fewer trainer.folds.")
        held = left_out(n, number, of, seed)
        made._learn(np.setdiff1d(np.arange(n), held), held)
        return made

    def _learn(self, rows: np.ndarray, held: np.ndarray) -> None:
        """Statistics and words of the training rows, and of no others."""
        table = self.table
        assert table is not None
        self._rows = {"train": rows, "valid": held}
        values = self.target.read(table[self.target.name])
        self.target = with_scale(self.target, values[rows], self.scale_target, table.file)
        kinds = {name: self.taken[name][0] for name in self.used}
        if not kinds:
            raise DataError(
                f"{table.file} has no column to learn from but the target",
                "Name columns in dataset.numeric or dataset.categorical",
            )
        self._use(Encoding.learn(table, rows, kinds, self.wishes.missing, self.scaling))

    def _use(self, encoding: Encoding) -> None:
        self.encoding, self._encoded = encoding, {}
        self.outputs = self.target.outputs
        if self.table is not None:
            self.shape = (self._all("train").together.shape[1],)

    def known(self) -> dict[str, Any]:
        """All that is needed to apply a trained model to other rows, as plain values."""
        return {
            "target": self.target.to_json(),
            "taken": {name: list(pair) for name, pair in self.taken.items()},
            "encoding": self.encoding.to_json(),
        }

    def remember(self, known: Mapping[str, Any]) -> None:
        """Go back to what `known` returned, whatever the files hold by now."""
        self.target = Target(**known["target"])
        self.taken = {name: (kind, why) for name, (kind, why) in known["taken"].items()}
        self._use(Encoding.from_json(known["encoding"]))

    def rows(self, split: str) -> Optional[np.ndarray]:
        """Places in its table of the rows of a part; None where there is no such part."""
        if self.absent is not None:
            raise self.absent
        if split == "test":
            has = self.more is not None and self.target.name in self.more.columns
            return np.arange(len(self.more)) if has and self.more is not None else None
        rows = self._rows.get(split)
        return rows if rows is not None and len(rows) else None

    def part(self, split: str) -> Table:
        """The table that the rows of a part are in."""
        table = self.more if split == "test" else self.table
        assert table is not None
        return table

    def _all(self, split: str) -> Encoded:
        which = "test" if split == "test" else "train"
        if which not in self._encoded:
            self._encoded[which] = self.encoding(self.part(which))
        return self._encoded[which]

    def values(self, split: str) -> np.ndarray:
        """Targets of a part in their own unit, or places of classes: float64 (n,)."""
        return self.target.read(self.part(split)[self.target.name])[self.rows(split)]

    def arrays(self, split: str, takes: Sequence[str]) -> Optional[tuple[np.ndarray, ...]]:
        """Fields of `Encoded` that a model takes, of the rows of a part, and scaled targets."""
        rows = self.rows(split)
        if rows is None:
            return None
        x = [array[rows] for array in self._all(split).fields(takes)]
        return (*x, self.target.scaled(self.values(split)))

    def batches(
        self, split: str, batch_size: Optional[int] = None, takes: Sequence[str] = ("together",)
    ) -> Optional[ArrayBatches]:
        """Batches of inputs (n, D), or of the fields named in ``takes``, and targets (n,)."""
        arrays = self.arrays(split, takes)
        if arrays is None:
            return None
        return ArrayBatches(arrays, batch_size, shuffle=split == "train")

    def names_of_rows(self, table: Table) -> Sequence[str]:
        """Columns that name rows, where the table has them."""
        return [
            name
            for name, (kind, _) in self.taken.items()
            if kind == IDENTIFIER and name in table.columns
        ]

    def grouped(self) -> dict[str, list[str]]:
        """Names of columns by how they are taken."""
        found: dict[str, list[str]] = {}
        for kind in (*USED, IDENTIFIER, LEFT_OUT):
            names = [name for name, (own, _) in self.taken.items() if own == kind]
            if names:
                found[kind] = names
        return found
