"""The registry: which names exist, what they stand for, and who registered them.

Keeps import strings and imports none of them before ``Entry.load``; finding and judging plugins
is the subject of ``discovery.py``.
"""

from __future__ import annotations

import importlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from dope.core.errors import ConfigError, DopeError, PluginError, did_you_mean

VARIABLE = "DOPE_DISABLE_PLUGINS"  # names of plugins that are not to be loaded
KINDS = ("dataset", "model", "loss", "task", "callback")

_NAME = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)+")
_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True)
class Entry:
    """One registered part.

    Parameters
    ----------
    kind
        One of ``KINDS``.
    name
        Dotted and lower-case; its first part is the plugin's name: ``timeseries.issm``.
    target
        Import string of the class or function: ``package.module:Name``.
    summary
        What it is, in one line.
    plugin
        Name of the plugin that registered it.
    """

    kind: str
    name: str
    target: str
    summary: str
    plugin: str

    @property
    def domain(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]

    def load(self) -> Any:
        """Import the target, now.

        Raises
        ------
        PluginError
            The module does not import, or has no such name; the cause is kept as ``__cause__``.
        DopeError
            What the module itself raised on purpose (MXNet missing, say) passes as it is.
        """
        module, _, name = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except DopeError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise PluginError(
                f"plugin '{self.plugin}': {self.kind} '{self.name}' cannot be loaded from "
                f"{self.target} ({reason})",
                f"Mend the plugin, or run: dope plugin disable {self.plugin}",
            ) from error


class Fault(NamedTuple):
    """What is wrong with a plugin that could be loaded all the same, and the place if known."""

    reason: str
    where: Optional[str]


@dataclass
class PluginInfo:
    """What became of one plugin.

    Parameters
    ----------
    name
        Its entry point's name: the first part of all names that it registers.
    module
        What the entry point names.
    distribution, version
        The installed distribution that brought it; empty when there is none.
    entries
        What it registered; nothing when it cannot be loaded or is disabled.
    error
        Why it cannot be loaded, in one line; None when it can.
    where
        ``file:line`` of the failure, when there is such a place.
    heavy
        Modules (numpy, matplotlib) that loading it imported: it slows every command.
    disabled_by
        What switched it off, so that it was not imported: the variable ``DOPE_DISABLE_PLUGINS``,
        the settings file.
    faults
        What else is wrong with it, once ``dope.core.plugging.health.examine`` has looked.
    """

    name: str
    module: str
    distribution: str = ""
    version: str = ""
    entries: list[Entry] = field(default_factory=list)
    error: Optional[str] = None
    where: Optional[str] = None
    heavy: list[str] = field(default_factory=list)
    disabled_by: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def disabled(self) -> bool:
        """It was switched off and not imported."""
        return bool(self.disabled_by)

    @property
    def status(self) -> str:
        """``ok``, ``slow``, ``broken`` or ``disabled``."""
        if self.error or self.faults:
            return "broken"
        return "disabled" if self.disabled else "slow" if self.heavy else "ok"

    @property
    def counts(self) -> dict[str, int]:
        """Number of entries of each kind that it registered."""
        return dict(Counter(entry.kind for entry in self.entries))

    @property
    def owner(self) -> str:
        """``name version`` of the distribution, or the module where there is none."""
        return f"{self.distribution} {self.version}".strip() or self.module


class Registry:
    """Names of every kind, and the plugins that brought them. An instance, never a global.

    ``plugins`` tells what became of each plugin, ``warnings`` what else the user should know.
    """

    def __init__(self) -> None:
        self.plugins: list[PluginInfo] = []
        self.warnings: list[str] = []
        self._entries: dict[tuple[str, str], Entry] = {}

    def check(self, entry: Entry) -> None:
        """Refuse an entry that ``add`` would refuse; see there."""
        if entry.kind not in KINDS:
            raise PluginError(f"'{entry.kind}' is not a kind of part", f"Use {', '.join(KINDS)}.")
        if not isinstance(entry.name, str) or not _NAME.fullmatch(entry.name):
            raise PluginError(
                f"{entry.kind} name {entry.name!r} is not of the form plugin.name",
                f"Use lower-case letters, digits, _ and -, such as '{entry.plugin}.mine'.",
            )
        if entry.domain != entry.plugin:
            raise PluginError(
                f"{entry.kind} '{entry.name}' does not begin with its plugin's name",
                f"Call it '{entry.plugin}.{entry.name.partition('.')[2]}'.",
            )
        if not isinstance(entry.target, str) or not _TARGET.fullmatch(entry.target):
            raise PluginError(
                f"{entry.kind} '{entry.name}': target {entry.target!r} is not an import string",
                "Write 'package.module:Name'.",
            )
        if not isinstance(entry.summary, str) or not entry.summary.strip():
            raise PluginError(f"{entry.kind} '{entry.name}' has no summary", "Add summary='…'.")
        owner = self._entries.get((entry.kind, entry.name))
        if owner is not None:
            raise PluginError(
                f"{entry.kind} '{entry.name}' of plugin '{entry.plugin}' ({entry.target}) is "
                f"already registered by plugin '{owner.plugin}' ({owner.target})",
                "Rename one of the two.",
            )

    def add(self, entry: Entry) -> None:
        """Take in an entry.

        Raises
        ------
        PluginError
            Its kind, name, target or summary is not what it must be, or the name is taken; then
            both owners are named.
        """
        self.check(entry)
        self._entries[entry.kind, entry.name] = entry

    def entries(self, kind: Optional[str] = None, domain: Optional[str] = None) -> list[Entry]:
        """All entries, or those of one kind, or of one domain, sorted by kind and name."""
        found = [
            entry
            for entry in self._entries.values()
            if kind in (None, entry.kind) and domain in (None, entry.domain)
        ]
        return sorted(found, key=lambda entry: (KINDS.index(entry.kind), entry.name))

    def get(self, kind: str, name: str) -> Entry:
        """The entry of this kind and name.

        Raises
        ------
        ConfigError
            There is none. The error gives the near name, says so when the name is of another
            kind, and why when the plugin that would have it is broken or disabled.
        """
        try:
            return self._entries[kind, name]
        except KeyError:
            raise self._missing(kind, str(name)) from None

    def _missing(self, kind: str, name: str) -> ConfigError:
        message = f"there is no {kind} '{name}'"
        others = [entry.kind for entry in self._entries.values() if entry.name == name]
        if others:
            message = f"'{name}' is a {' and a '.join(others)}, not a {kind}"
        why, remedy = self.absence(name.partition(".")[0])
        known = [entry.name for entry in self.entries(kind)]
        hints = [remedy, near_name(name, known), f"Run `dope list` to see every {kind}."]
        return ConfigError(message + why, " ".join(filter(None, hints)))

    def absence(self, domain: str) -> tuple[str, str]:
        """Why a plugin's names are not there, to be added to a message, and what to do about it.

        Both are empty when no plugin of that name is broken or disabled.
        """
        for plugin in self.plugins:
            if plugin.name == domain and plugin.error:
                place = f" at {plugin.where}" if plugin.where else ""
                return f"; plugin '{domain}' is broken: {plugin.error}{place}", ""
            if plugin.name == domain and plugin.disabled:
                by = " and ".join(plugin.disabled_by)
                ways = []
                if VARIABLE in plugin.disabled_by:
                    ways.append(f"take it out of {VARIABLE}")
                if any(os.sep in each for each in plugin.disabled_by):
                    ways.append(f"run: dope plugin enable {domain}")
                remedy = f"To enable it, {' and '.join(ways)}." if ways else ""
                return f"; plugin '{domain}' is disabled by {by}", remedy
        return "", ""


def near_name(name: str, known: list[str]) -> str:
    """``Did you mean …?`` for a dotted name; the part after the dot alone is near, too."""
    ends = [full for full in known if full.partition(".")[2] == name]
    return f"Did you mean '{ends[0]}'?" if ends else did_you_mean(name, known)
