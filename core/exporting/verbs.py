"""``dope export``: the networks of a run in forms that are used without dope.

Holds the verb; what is exported is said by each task, how it is written by writing.py.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional, Union

from dope.core.errors import ConfigError, did_you_mean
from dope.core.exporting import placing
from dope.core.exporting.declaring import FORMATS, reasons
from dope.core.plugging.discovery import discover
from dope.core.plugging.registry import Registry
from dope.core.rundir import DEFAULT_ROOT
from dope.core.training.composing import registry_with
from dope.core.training.running import recall, trained

Place = Union[str, Path]


def export(
    run: Place,
    *,
    format: str = "symbol",
    to: Optional[Place] = None,
    best: bool = False,
    overwrite: bool = False,
    overrides: Sequence[str] = (),
    runs: Place = DEFAULT_ROOT,
    parts: Sequence[Callable[..., Any]] = (),
    registry: Optional[Registry] = None,
    **sections: Any,
) -> dict[str, Any]:
    """Write a run's trained networks so that they can be used without dope.

    The files are loaded in a new process that has no dope, and what they compute of a few
    examples is compared with what dope computes. If that differs by more than 1e-5, or anything
    else goes wrong, nothing is kept.

    Parameters
    ----------
    run, runs, best, overrides, parts, registry, sections
        As in `load`.
    format
        ``symbol``: MXNet's graph and parameters, for gluon's ``SymbolBlock.imports`` and MXNet's
        other languages. ``onnx``: opset 13, for ONNX Runtime and others.
    to
        The new folder; default ``export/<format>`` in the run.
    overwrite
        Replace an export that is there.

    Returns
    -------
    dict
        ``folder``, ``files``, and what stands in ``export.json``.

    Raises
    ------
    ConfigError
        The task cannot be exported so; the error says why.
    RunError
        The place is taken, or the export cannot be written or loaded, or computes something else.

    Examples
    --------
    >>> import dope
    >>> run = dope.run("vision.softmax", profile="tiny")
    >>> made = dope.export(run.path)
    >>> made["networks"][0]["identical"]
    True
    """
    if format not in FORMATS:
        near = f"{did_you_mean(format, FORMATS)} Formats are {', '.join(FORMATS)}."
        raise ConfigError(f"there is no format '{format}'", near.strip())
    registry = registry_with(registry or discover(), parts)
    directory, config, settings = recall(registry, run, runs, overrides, sections)
    _insist(registry, config.task, format)
    target = Path(to) if to is not None else directory.path / "export" / format
    placing.check(target, overwrite)
    if format == "onnx":
        from dope.core.exporting import onnx_format

        onnx_format.insist()
    task, engine = trained(registry, directory, config, {**settings, "contexts": "cpu(0)"}, best)
    from dope.core.exporting import writing

    networks = [each for each in task.exports(engine.nets) if format in each.formats]
    about = {
        "task": config.task,
        "parts": {section: name for section, name in task.parts.items() if name},
        "run": str(directory.path.absolute()),
        "checkpoint": "best" if best else "last",
        "made": writing.stamp(),
        "versions": _versions(format),
    }
    with placing.placed(target, overwrite=overwrite) as folder:
        made = writing.write(folder, format, networks, about)
        writing.compare([made])
        files = sorted(target / path.name for path in folder.iterdir())
    return {"folder": target, "files": files, **made.about}


def _insist(registry: Registry, task: str, format: str) -> None:
    """Refuse what the task says it cannot do."""
    declared = reasons(registry, task)
    reason = declared[format]
    if reason is not None:
        other = next((form for form, why in declared.items() if why is None), None)
        hint = f"Use --format {other}." if other else "Use it with dope predict."
        raise ConfigError(f"{task} is not exported as {format}: {reason.rstrip('.')}", hint)


def _versions(format: str) -> Mapping[str, str]:
    """What the export was made with."""
    import numpy as np

    from dope import __version__
    from dope.core.backend import mx

    found = {
        "dope": __version__,
        "mxnet": mx.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    if format == "onnx":
        from dope.core.exporting import onnx_format

        found.update(onnx_format.versions())
    return found
