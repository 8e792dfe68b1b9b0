"""Writing a new plugin: a whole project that can be installed and passes its tests at once.

Holds names and the writing; what is written lies beside it as text.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Optional, Union

from dope import __version__
from dope.core.errors import ConfigError, RunError

_HERE = Path(__file__).parent
_PROJECT = re.compile(r"[a-z][a-z0-9]*([._-][a-z0-9]+)*")
_PLUGIN = re.compile(r"[a-z][a-z0-9_]*")
_SHARED = {
    "pyproject.toml": "both/pyproject.toml.txt",
    ".gitignore": "both/gitignore.txt",
    "tests/test_contract.py": "both/test_contract.py.txt",
    "src/${package}/__init__.py": "both/init.py.txt",
}
_FULL = {
    "README.md": "full/README.md.txt",
    "src/${package}/plugin.py": "full/plugin.py.txt",
    "src/${package}/moons.py": "full/moons.py.txt",
    "src/${package}/network.py": "full/network.py.txt",
    "src/${package}/focal.py": "full/focal.py.txt",
    "src/${package}/norm.py": "full/norm.py.txt",
    "src/${package}/classify.py": "full/classify.py.txt",
}
_BARE = {
    "README.md": "bare/README.md.txt",
    "src/${package}/plugin.py": "bare/plugin.py.txt",
    "src/${package}/classify.py": "bare/classify.py.txt",
}


@dataclass(frozen=True)
class Project:
    """A project that was written.

    Parameters
    ----------
    path
        Its folder.
    name, package, plugin
        What pip, Python and dope call it.
    files
        What was written, below ``path``.
    """

    path: Path
    name: str
    package: str
    plugin: str
    files: tuple[str, ...]

    @property
    def task(self) -> str:
        """Name of its task."""
        return f"{self.plugin}.classify"


def new_project(
    name: str,
    *,
    package: Optional[str] = None,
    plugin: Optional[str] = None,
    bare: bool = False,
    folder: Union[str, Path, None] = None,
    taken: Iterable[str] = (),
) -> Project:
    """Write the project of a new plugin.

    Parameters
    ----------
    name
        What pip calls it: ``acme-churn``. Lower-case words.
    package
        What Python imports; by default the name with ``_``: ``acme_churn``.
    plugin
        What its parts' names begin with; by default the name without its first word, which is
        the owner's: ``churn``.
    bare
        Write a task alone, in place of a data set, a model, a loss, a callback and a task.
    folder
        Where it goes: a new folder, or an empty one. By default ``name``, here.
    taken
        Names of plugins that there are.

    Raises
    ------
    ConfigError
        A name that cannot be, or that is taken.
    RunError
        There is something in the folder, or it cannot be written.
    """
    if not _PROJECT.fullmatch(name):
        raise ConfigError(
            f"project name '{name}' cannot be", "Use lower-case words, such as acme-churn."
        )
    words = re.split(r"[._-]", name)
    package = package or "_".join(words)
    plugin = plugin or "_".join(words[1:] or words)
    _check_package(package)
    _check_plugin(plugin, taken)
    path = Path(folder or name)
    values = {"project": name, "package": package, "plugin": plugin, "version": __version__}
    texts = _render({**_SHARED, **(_BARE if bare else _FULL)}, values)
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(
                f"{path} is there already and not empty", "Choose another folder with --dir DIR."
            )
        for file, text in texts.items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            with (path / file).open("x", encoding="utf-8") as handle:  # never over another
                handle.write(text)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}",
            "Choose a place that you may write to with --dir DIR.",
        ) from error
    return Project(path, name, package, plugin, tuple(texts))


def _check_package(package: str) -> None:
    if not package.isidentifier() or keyword.iskeyword(package) or package != package.lower():
        raise ConfigError(
            f"package name '{package}' cannot be imported",
            "Choose another with --package, of lower-case letters, digits and _.",
        )
    if importlib.util.find_spec(package) is not None:
        raise ConfigError(
            f"there is a module '{package}' already", "Choose another name with --package."
        )


def _check_plugin(plugin: str, taken: Iterable[str]) -> None:
    if not _PLUGIN.fullmatch(plugin):
        raise ConfigError(
            f"plugin name '{plugin}' cannot be",
            "Choose another with --plugin, of lower-case letters, digits and _, a letter first.",
        )
    if plugin in taken or plugin == "all":
        why = "means every plugin" if plugin == "all" else "is taken by one that is installed"
        raise ConfigError(
            f"the plugin name '{plugin}' {why}", f"Choose another, --plugin my_{plugin} say."
        )


def _render(files: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Paths and texts with names filled in."""
    return {
        Template(file).substitute(values): Template(
            (_HERE / source).read_text(encoding="utf-8")
        ).substitute(values)
        for file, source in files.items()
    }
