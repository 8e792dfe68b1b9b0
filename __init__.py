"""dope: the models of *Deep Learning: The Straight Dope* as tasks to run and extend.

The public names are loaded when they are first used, so that ``import dope`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "run": "dope.core.api",
    "resume": "dope.core.api",
    "evaluate": "dope.core.api",
    "predict": "dope.core.api",
    "load": "dope.core.api",
    "export": "dope.core.exporting.verbs",
    "tasks": "dope.core.api",
    "parts": "dope.core.api",
    "sweep": "dope.core.sweeping.verbs",
    "compare": "dope.core.comparing.runs",
    "report": "dope.core.reporting.page",
    "board": "dope.core.reporting.board",
    "CSV": "dope.core.reporting.callbacks",
    "TensorBoard": "dope.core.reporting.callbacks",
    "Run": "dope.core.api",
    "Task": "dope.core.task",
    "Group": "dope.core.task",
    "Callback": "dope.core.callbacks",
    "hookimpl": "dope.core.hookspecs",
    "DopeError": "dope.core.errors",
}
__all__ = [
    "CSV",
    "Callback",
    "DopeError",
    "Group",
    "Run",
    "Task",
    "TensorBoard",
    "__version__",
    "board",
    "compare",
    "evaluate",
    "export",
    "hookimpl",
    "load",
    "parts",
    "predict",
    "report",
    "resume",
    "run",
    "sweep",
    "tasks",
]

if TYPE_CHECKING:
    from dope.core.api import Run, evaluate, load, parts, predict, resume, run, tasks
    from dope.core.callbacks import Callback
    from dope.core.comparing.runs import compare
    from dope.core.errors import DopeError
    from dope.core.exporting.verbs import export
    from dope.core.hookspecs import hookimpl
    from dope.core.reporting.board import board
    from dope.core.reporting.callbacks import CSV, TensorBoard
    from dope.core.reporting.page import report
    from dope.core.sweeping.verbs import sweep
    from dope.core.task import Group, Task


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'dope' has no attribute '{name}'")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
