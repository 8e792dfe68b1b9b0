"""The user's own settings file: where it is, which plugins it switches off, how it is changed.

Knows the file only; which plugins there are is the subject of ``discovery.py``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dope.core.errors import ConfigError, RunError
from dope.core.rundir import replacing

KEY = "disabled_plugins"


def path() -> Path:
    """``dope/config.yaml`` under $XDG_CONFIG_HOME, else ~/.config (%APPDATA% on Windows)."""
    given = os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME", "")
    if given and Path(given).is_absolute():  # the XDG rule: a relative one is passed over
        return Path(given, "dope", "config.yaml")
    folder = Path("~/.config")
    with contextlib.suppress(RuntimeError):  # no home folder
        folder = folder.expanduser()
    return folder / "dope" / "config.yaml"


def disabled_plugins() -> list[str]:
    """Names of the plugins that the file switches off; none where there is no file.

    Raises
    ------
    ConfigError
        The file cannot be read, is not a mapping in YAML, or ``disabled_plugins`` is not a list
        of names.
    """
    file = path()
    try:
        exists = file.is_file()
    except OSError:  # a folder on the way may not be entered
        exists = False
    return _names(file, _read(file)) if exists else []


def set_disabled_plugins(names: Sequence[str]) -> Path:
    """Write which plugins are off; all else in the file, comments too, stays as it is.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        The file cannot be written, or is not what ``disabled_plugins`` could read.
    """
    file = path().resolve()  # a link stays a link
    old = _read(file) if file.exists() else {}
    _names(file, old)
    wanted = {**old, KEY: list(names)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(_changed(file, wanted), encoding="utf-8")
            if file.exists():
                shutil.copymode(file, temporary)
    except (OSError, RunError) as error:
        reason = getattr(error, "strerror", None) or str(error.__cause__ or error)
        raise ConfigError(
            f"the settings file {file} cannot be written: {reason}",
            "Make it writable, or use DOPE_DISABLE_PLUGINS=NAME,NAME instead.",
        ) from error
    return file


def _read(file: Path) -> dict[str, Any]:
    from dope.core.configuring.values import (
        read_yaml,  # and YAML with it: only where there is a file
    )

    try:
        return read_yaml(file)
    except ConfigError as error:
        raise ConfigError(
            f"settings {error.message}", "Mend the file or move it away; dope runs without one."
        ) from error


def _names(file: Path, found: dict[str, Any]) -> list[str]:
    names = found.get(KEY)
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"settings file {file}: {KEY} is {names!r}, not a list of names",
            f"Write {KEY}: [vision, losses].",
        )
    return names


def _changed(file: Path, wanted: dict[str, Any]) -> str:
    """Text of the file with the one key changed in place; written anew where that cannot be."""
    import yaml

    text = file.read_text(encoding="utf-8") if file.exists() else ""
    value = yaml.safe_dump(wanted[KEY], default_flow_style=True, width=10**6, allow_unicode=True)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    at = [node for key, node in root.value if key.value == KEY] if root is not None else []
    if at:
        # The end of a block list is the next token, past comments: its last item ends earlier.
        last = at[0].value[-1] if isinstance(at[0].value, list) and at[0].value else at[0]
        end = at[0] if getattr(at[0], "flow_style", True) else last
        start, stop = at[0].start_mark.index, end.end_mark.index
        gap = "" if text[:start].endswith((" ", "\t")) else " "
        if not getattr(at[0], "flow_style", True):  # a block list begins on a line of its own
            start, gap = len(text[:start].rstrip()), " "
        new = text[:start] + gap + value.strip() + text[stop:]
    else:
        new = text + ("\n" if text and not text.endswith("\n") else "") + f"{KEY}: {value}"
    with contextlib.suppress(yaml.YAMLError):
        if yaml.safe_load(new) == yaml.safe_load(yaml.safe_dump(wanted)):
            return new
    return str(yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True))
