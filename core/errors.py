"""The errors that dope raises on purpose: each says what, where, and what to do.

Holds the exception classes only; the command line turns them into one line and an exit code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DopeError(Exception):
    """Something went wrong that the user can understand and mend.

    Parameters
    ----------
    message
        What happened, and where: one sentence, no full stop needed.
    hint
        What to do about it. Shown after the message.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class ConfigError(DopeError):
    """An option, a name or a value that cannot be: refused before any data is loaded."""

    exit_code = 2


class DataError(DopeError):
    """A file or a data set that cannot be read as what it should be."""


class PluginError(DopeError):
    """A plugin, or a part that it registers, cannot be loaded."""


class BackendError(DopeError):
    """MXNet, a driver or a device is missing, doubled or broken."""


class RunError(DopeError):
    """A run directory or a checkpoint that cannot be written, found or read."""


class DivergedError(DopeError):
    """The loss is no longer a finite number."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``Did you mean 'x'?`` for the nearest of ``known``, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else ""
