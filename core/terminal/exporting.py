"""The command that gives a run's networks away: dope export, and what dope show says of it.

Holds no logic of its own: it calls core.exporting.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, Optional

import click

from dope.core.terminal import present
from dope.core.terminal.commandline import best, echo_json, on_a_run


@click.command("export")
@on_a_run
@best
@click.option(
    "--format", "form", default="symbol", show_default=True, metavar="symbol|onnx",
    help="MXNet's symbol and parameters, or ONNX.",
)  # fmt: skip
@click.option("--to", metavar="DIR", help="The new folder.  [default: export/FORMAT in the run]")
@click.option("--overwrite", is_flag=True, help="Replace an export that is there.")
def export(
    run: str,
    settings: tuple[str, ...],
    runs: str,
    as_json: bool,
    best: bool,
    form: str,
    to: Optional[str],
    overwrite: bool,
) -> None:
    """Write the networks of a trained RUN so that they are used without dope.

    RUN is its folder, the end of its name, or last. The files are loaded in a new process without
    dope and compared with dope's own outputs; example.py among them shows how to use them.

    \b
    Example:
      dope export last
      dope export last --format onnx --to model
    """
    from dope.core.exporting import verbs

    made = verbs.export(
        run, format=form, to=to, best=best, overwrite=overwrite, overrides=settings, runs=runs
    )
    if as_json:
        echo_json(made)
        return
    click.echo(described(made))


def described(made: Mapping[str, Any]) -> str:
    """The networks of an export, how near they come to dope's, and its files."""
    rows: list[tuple[str, ...]] = []
    for network in made["networks"]:
        name = network["name"]
        for kind in ("inputs", "outputs"):
            for each in network[kind]:
                shape = " x ".join(map(str, each["shape"]))
                rows.append((name, kind[:-1], each["name"], shape, each["type"], each["meaning"]))
                name = ""
    head = ("network", "", "name", "shape", "type", "meaning")
    near = "; ".join(
        f"{each['name']} {'is identical' if each['identical'] else _apart(each['difference'])}"
        for each in made["networks"]
    )
    files = "\n".join(map(str, made["files"]))
    return (
        f"{present.table(rows, head=head)}\n\n"
        f"Loaded in a new process without dope: {near}.\n\n{files}"
    )


def _apart(difference: float) -> str:
    return f"differs by {difference:.1g} at most"


def formats(declared: Mapping[str, Optional[str]]) -> str:
    """What ``dope show`` says of a task: the formats, and why not others."""
    good = [form for form, why in declared.items() if why is None]
    lines = [f"Exports:  {', '.join(good) or 'no'}"]
    for why in dict.fromkeys(filter(None, declared.values())):
        forms = ", ".join(form for form, reason in declared.items() if reason == why)
        indent = " " * 10
        lines += textwrap.wrap(
            f"not {forms}: {why}",
            present.terminal_width(),
            initial_indent=indent,
            subsequent_indent=indent,
        )
    return "\n".join(lines)
