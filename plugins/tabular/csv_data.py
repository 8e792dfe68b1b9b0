"""The data set ``tabular.csv``: any CSV file with a column to predict.

Holds its options; reading is in table.py, what becomes of columns in table_data.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Optional, Tuple

from dope.plugins.tabular.columns import Wishes
from dope.plugins.tabular.encoding import Scaling
from dope.plugins.tabular.houses_generated import TARGET, generated
from dope.plugins.tabular.table import Table, read_table
from dope.plugins.tabular.table_data import TableData


class Csv(TableData):
    """A CSV file: its columns are typed by looking, scaled by the training rows only.

    Parameters
    ----------
    path
        The file; by default generated houses, an example.
    target
        The column to predict. Rows without one are an error, or skipped.
    kind
        Predict a number, or a class. ``auto`` looks: words, two values, or up to ten different
        whole numbers are classes.
    scale_target
        What a model learns of a number: as it is, standardized, or its logarithm standardized.
    valid
        Share of the rows that is held out, drawn at random. With ``trainer.folds`` each fold is
        held out once, and the last training takes all rows.
    test
        A file with the target, to test on; or without, to predict.
    numeric, categorical, date, identifier, left_out
        Columns to be taken so, whatever they look like. Identifiers name rows and are not learned
        from.
    missing
        Cells that mean that there is no value.
    log_skew
        Take log(1 + x) of numbers that are never negative and whose skewness is above this; null
        takes no logarithm.
    clip
        Cut scaled numbers off at so many standard deviations; null does not.
    rare
        Words that fewer training rows than this have share one column, and so do words that no
        training row had.
    most_words
        Most words of a column that get a column of their own.
    ranks
        Words in order, such as ``low<middle<high``: a column of such words is also given as a
        number.
    delimiter
        Between cells; null looks.
    broken
        A line that cannot be read, or a cell that is no number where others are: stop, or skip the
        line and count it.
    seed
        Of the rows that are held out.

    Raises
    ------
    ConfigError, DataError
        An option is out of range, or a file cannot be read as what it should be.
    """

    def __init__(
        self,
        *,
        path: Optional[Path] = None,
        target: Optional[str] = None,
        kind: Literal["auto", "regression", "classification"] = "auto",
        scale_target: Literal["none", "standard", "log"] = "standard",
        valid: float = 0.2,
        test: Optional[Path] = None,
        numeric: Tuple[str, ...] = (),
        categorical: Tuple[str, ...] = (),
        date: Tuple[str, ...] = (),
        identifier: Tuple[str, ...] = (),
        left_out: Tuple[str, ...] = (),
        missing: Tuple[str, ...] = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "?"),
        log_skew: Optional[float] = None,
        clip: Optional[float] = None,
        rare: int = 2,
        most_words: int = 100,
        ranks: Tuple[str, ...] = (),
        delimiter: Optional[str] = None,
        broken: Literal["stop", "skip"] = "stop",
        seed: int = 0,
    ) -> None:
        super().__init__(
            target=target or (None if path else TARGET),
            kind=kind,
            scale_target=scale_target,
            valid=valid,
            skip=broken == "skip",
            seed=seed,
            wishes=Wishes(numeric, categorical, date, identifier, left_out, missing),
            scaling=Scaling(log_skew, clip, rare, most_words, ranks),
        )
        self.path, self.test, self.delimiter = path, test, delimiter

    def tables(self) -> tuple[Table, Optional[Table]]:
        """The file and, where there is one, the other."""
        if self.path is None:
            return generated(400, seed=0)[0], None
        other = None if self.test is None else self.open(self.test)
        return self.open(self.path), other

    def open(self, path: Path) -> Table:
        """Another file, read as this one is."""
        return read_table(path.expanduser(), delimiter=self.delimiter, skip=self.skip)
