"""The command that trains with several processes: dope launch.

Holds what is typed; the processes are started and ended in core.distributing.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Optional

import click

from dope.core.errors import ConfigError
from dope.core.terminal.commandline import debug, options


@click.command(
    "launch",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="run|resume ...")
@options(
    click.option("-n", "--workers", default=2, show_default=True, help="Processes that train."),
    click.option(
        "-s", "--servers", default=1, show_default=True, help="Processes that add gradients up."
    ),
    click.option("--hosts", metavar="FILE", help="Machines: NAME [address=IP] [workers=N] a line."),
    click.option("--rsh", metavar="COMMAND", help="Remote shell.  [default: ssh -o BatchMode=yes]"),
    click.option("--python", metavar="PATH", help="Python of the machines.  [default: this one]"),
    click.option("--port", type=click.IntRange(1, 65535), help="Where the scheduler listens."),
    debug,
)
@click.pass_context
def launch(
    context: click.Context,
    words: tuple[str, ...],
    workers: int,
    servers: int,
    hosts: Optional[str],
    rsh: Optional[str],
    python: Optional[str],
    port: Optional[int],
) -> None:
    """Train with several processes, on this machine or on several.

    What follows is a command of dope run or dope resume, as it is given without launch. Each
    worker takes trainer.batch_size examples a step.

    \b
    Example:
      dope launch -n 2 run vision.mlp trainer.epochs=3
      dope launch -n 4 -s 2 --hosts machines.txt run vision.cnn dataset=vision.mnist
      dope launch -n 2 resume last
    """
    from dope.core.distributing.hosts import read_hosts
    from dope.core.distributing.launching import RSH, Plan, start

    for name, count in (("--workers", workers), ("--servers", servers)):
        if count < 1:
            raise ConfigError(f"{name} {count} is out of range", "It is at least 1.")
    plan = Plan(
        words,
        _folder(context, words),
        workers,
        servers,
        read_hosts(Path(hosts)) if hosts else (),
        rsh or RSH,
        python or sys.executable,
        port,
    )
    code = start(plan)
    if code == 130:
        again = f"dope launch -n {workers} -s {servers} resume {shlex.quote(str(plan.folder))}"
        click.echo(f"interrupted. Go on with: {again}", err=True)
    if code:
        context.exit(code)


def _folder(context: click.Context, words: tuple[str, ...]) -> Path:
    """The run's folder, from the command that all processes get; it is checked here, once."""
    from dope.core.configuring.config import resolve
    from dope.core.plugging.discovery import discover
    from dope.core.rundir import RunDirectory, unused

    group = context.find_root().command
    command = words[0]
    inner = group.get_command(context, command) if isinstance(group, click.Group) else None
    if inner is None or command not in ("run", "resume"):
        raise ConfigError(
            f"dope launch cannot do '{command}'", "Example: dope launch -n 2 run vision.mlp"
        )
    given = inner.make_context(command, list(words[1:]), parent=context).params
    if command == "resume":
        return RunDirectory.find(given["run"], given["runs"]).path
    if given["dry_run"]:
        raise ConfigError("dope launch cannot do --dry-run", "Do that with dope run, alone.")
    task, *overrides = sorted([given["task"], *given["settings"]], key=lambda word: "=" in word)
    file = Path(given["file"]) if given["file"] else None
    resolve(discover(), task, profile=given["profile"], file=file, overrides=overrides)
    return unused(Path(given["runs"]) / task)
