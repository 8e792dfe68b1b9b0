"""What the commands share: their common options, what TAB offers for them, and JSON.

Holds no command: those are in cli.py, and those on many runs in commands.py.
"""

from __future__ import annotations

import json
from typing import Any, Callable, TypeVar

import click

from dope.core.rundir import DEFAULT_ROOT, plain

F = TypeVar("F", bound=Callable[..., Any])


def options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several decorators as one, in the order in which they would stand."""

    def apply(function: F) -> F:
        for each in reversed(decorators):
            function = each(function)
        return function

    return apply


def offer(what: str) -> Callable[..., list[Any]]:
    """What TAB offers, by its name in core.completion, which is imported only then."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        from dope.core.terminal import completion

        found: list[Any] = getattr(completion, what)(context, parameter, incomplete)
        return found

    return complete


debug = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
settings = click.argument(
    "settings", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=offer("keys")
)
runs_root = click.option(
    "--runs", default=DEFAULT_ROOT, show_default=True, metavar="DIR", help="Folder of all runs."
)
best = click.option("--best", is_flag=True, help="Take the best checkpoint, not the last.")
quiet = click.option("--quiet", is_flag=True, help="Show no progress.")
written = options(
    click.option("--tensorboard", is_flag=True, help="Write event files for TensorBoard, too."),
    click.option("--csv", "as_csv", is_flag=True, help="Write metrics.csv, too."),
)
profile = click.option(
    "--profile",
    default="quick",
    show_default=True,
    help="A profile of the task.",
    shell_complete=offer("profiles"),
)
on_a_run = options(
    click.argument("run", metavar="RUN", shell_complete=offer("runs")),
    settings,
    runs_root,
    as_json,
    debug,
)


def echo_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))
