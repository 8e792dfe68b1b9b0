"""What all ratings that are read from a file share: faults in it, repeats, a limit, an encoding.

Holds the base class; the formats are the data sets' own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Literal, Optional

from dope.core.errors import ConfigError, DataError
from dope.plugins.recsys.lines import Broken, check_encoding, opened
from dope.plugins.recsys.ratings import Ratings, RatingSet, Source
from dope.plugins.recsys.reading import Columns
from dope.plugins.recsys.splitting import settle


class RatingFile(RatingSet):
    """Base of sets that are read from a file of a user's own, which may have faults.

    Parameters
    ----------
    on_error
        What becomes of a line that cannot be read: ``stop`` names it and ends, ``skip`` leaves it
        out and counts it.
    duplicates
        A user may rate an item but once. Of several ratings the ``last`` or the ``first`` stays,
        by time where times are known, else by place in the file; or their ``mean``; or the run
        comes to a ``stop``.
    limit
        Read only the first so many ratings; null reads all.
    encoding
        Of the text.
    """

    def __init__(
        self,
        *,
        on_error: Literal["stop", "skip"] = "stop",
        duplicates: Literal["last", "first", "mean", "stop"] = "last",
        limit: Optional[int] = None,
        encoding: str = "utf-8",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if on_error not in ("stop", "skip"):
            raise ConfigError(f"dataset.on_error is '{on_error}'", "It is stop or skip.")
        if duplicates not in ("last", "first", "mean", "stop"):
            raise ConfigError(
                f"dataset.duplicates is '{duplicates}'", "It is last, first, mean or stop."
            )
        if limit is not None and limit < 1:
            raise ConfigError(f"dataset.limit is {limit}", "It is 1 or more, or left out.")
        self.skip, self.duplicates = on_error == "skip", duplicates
        self.limit, self.encoding = limit, check_encoding(encoding)

    def settled(self, columns: Columns, broken: Broken) -> Source:
        """A source from what was read, each pair of user and item once; counts what was not."""
        try:
            rows, values = settle(
                self.duplicates, columns.users, columns.items, columns.values, columns.times
            )
        except DataError as error:
            raise DataError(f"{broken.source}: {error.message}", error.hint) from None
        times = None if columns.times is None else columns.times[rows]
        self.skipped, self.skipped_lines = broken.count, tuple(broken.samples)
        self.repeated = len(columns.values) - len(rows)
        ratings = Ratings(columns.users[rows], columns.items[rows], values, times)
        return Source(ratings, columns.user_ids, columns.item_ids)

    def read_from(
        self,
        path: Path,
        reader: Callable[[BinaryIO, Broken], Columns],
        opener: Callable[[Path], AbstractContextManager[BinaryIO]] = opened,
    ) -> Source:
        """Open a file, read it, and settle what is repeated."""
        broken = Broken(str(path), self.skip)
        with opener(path) as stream:
            return self.settled(reader(stream, broken), broken)
