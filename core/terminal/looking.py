"""The commands that make pages to look at: dope report and dope board.

Holds no logic of its own: it calls core.reporting.
"""

from __future__ import annotations

from typing import Optional

import click

from dope.core.errors import ConfigError, RunError
from dope.core.terminal.commandline import debug, offer, options, runs_root

output = click.option(
    "--output", metavar="FILE", help="The page.  [default: in the folder that it shows]"
)


@click.command("report")
@click.argument("run", required=False, metavar="[RUN]", shell_complete=offer("runs"))
@click.option("--all", "whole", is_flag=True, help="A board of all runs; RUN is their folder.")
@options(output, runs_root, debug)
def report(run: Optional[str], whole: bool, output: Optional[str], runs: str) -> None:
    """Write a page that shows a RUN: figures, curves, plots, samples, times, options.

    RUN is its folder, the end of its name, or last. The page is one file and needs no network.

    \b
    Example:
      dope report last
      dope report --all runs
    """
    if whole:
        from dope.core.reporting.board import board

        click.echo(board(run or runs, output=output))
        return
    if run is None:
        raise ConfigError("dope report needs a RUN", "Write: dope report last")
    from dope.core.reporting.page import report as write

    click.echo(write(run, output=output, runs=runs))


@click.command("board")
@click.argument("folder", required=False, metavar="[DIR]")
@click.option("--serve", is_flag=True, help="Show it at 127.0.0.1, with news while runs go on.")
@click.option("--port", type=int, help="With --serve; 0 takes a free one.  [default: 8710]")
@options(output, runs_root, debug)
def board(
    folder: Optional[str], serve: bool, port: Optional[int], output: Optional[str], runs: str
) -> None:
    """Write a page of all runs in DIR: to sort, to filter, and to compare.

    With --serve it is shown to the browser on this machine until Ctrl-C, and nothing is written.

    \b
    Example:
      dope board
      dope board --serve
    """
    root = folder or runs
    if not serve:
        from dope.core.reporting.board import board as write

        if port is not None:
            raise ConfigError("--port goes with --serve", "Write: dope board --serve --port N")
        click.echo(write(root, output=output))
        return
    if output:
        raise ConfigError("--serve writes no page", "Leave --output or --serve out.")
    from dope.core.reporting.serving import PORT, Server

    try:
        server = Server(root, PORT if port is None else port)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise RunError(f"cannot serve at port {port or PORT}: {why}", "Try --port 0.") from error
    with server:
        click.echo(f"{server.url}  (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("", err=True)
