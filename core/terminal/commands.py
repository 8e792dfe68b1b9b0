"""The commands on many runs at once: dope sweep and dope compare, and how they are laid out.

Holds no logic of its own: it calls core.sweeping and core.comparing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

import click

from dope.core.errors import ConfigError, RunError
from dope.core.terminal import present
from dope.core.terminal.commandline import (
    as_json,
    debug,
    echo_json,
    offer,
    options,
    profile,
    quiet,
    runs_root,
)

if TYPE_CHECKING:
    from dope.core.comparing.runs import Comparison
    from dope.core.sweeping.outcome import Sweep
    from dope.core.sweeping.standings import Standing

SHOWN = 20  # points that are printed
CELL = 28  # most signs in a cell


@click.command("sweep")
@click.argument("task", required=False, shell_complete=offer("tasks"))
@click.argument("settings", nargs=-1, metavar="[KEY=VALUES]...", shell_complete=offer("points"))
@options(
    click.option(
        "--n", type=int, metavar="N", help="Points to draw; needed where a key has lo..hi."
    ),
    click.option("--seeds", default=1, show_default=True, help="Runs of each point."),
    click.option("--seed", default=0, show_default=True, help="Of the draws, and the first run's."),
    profile,
    click.option("--config", "file", metavar="FILE", help="A YAML file of options."),
    click.option("--contexts", default="auto", show_default=True, help="Such as cpu(0),cpu(1)."),
    click.option("--jobs", type=int, help="Runs at a time.  [default: one a core]"),
    click.option(
        "--resume", metavar="SWEEP", help="Go on with a sweep.", shell_complete=offer("sweeps")
    ),
    click.option("--retry", is_flag=True, help="With --resume: failed runs go on, too."),
    quiet,
    runs_root,
    as_json,
    debug,
)
def sweep(
    task: Optional[str],
    settings: tuple[str, ...],
    resume: Optional[str],
    retry: bool,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Run TASK many times, with other values each time, and say which are best.

    KEY=V1,V2 are values, KEY=LO..HI is a range from which --n values are drawn. Values of lists
    stand in brackets. A sweep that was stopped goes on with --resume: its folder, the end of its
    name, or last.

    \b
    Example:
      dope sweep vision.mlp model.dropout=0,0.5 optimizer.learning_rate=1e-4..1e-1 --n 20
      dope sweep vision.softmax optimizer=sgd,adam --seeds 3
      dope sweep --resume last
    """
    from dope.core.sweeping import verbs

    context = click.get_current_context()
    words = [word for word in (task, *settings) if word]
    if resume is None:
        named = [word for word in words if "=" not in word]
        if not named:
            raise ConfigError("dope sweep needs a TASK", "Write: dope sweep TASK KEY=V1,V2")
        if retry:
            raise ConfigError(
                "--retry goes with --resume", "Write: dope sweep --resume last --retry"
            )
        words.remove(named[0])
        done = verbs.sweep(named[0], *words, **given, progress=not quiet)
    else:
        typed = [p.opts[0] for p in context.command.params if _typed(context, p.name or "")]
        if words or typed:
            what = " ".join([*words, *typed])
            raise ConfigError(
                f"{what}: a sweep goes on with what it was started with", f"Leave {what} out."
            )
        given = {key: given[key] for key in ("n", "jobs", "runs")}
        done = verbs.resume(resume, retry=retry, progress=not quiet, **given)
    if done.status == "interrupted":
        over = sum(each.status != "waiting" for each in done.standings)
        where = shlex.quote(str(done.path))
        said = f"interrupted with {over} of {len(done.standings)} points done"
        click.echo(f"{said}. Go on with: dope sweep --resume {where}", err=True)
        context.exit(130)
    if as_json:
        echo_json(as_dict(done))
    else:
        _show(done)
    if done.best is None:
        hint = f"Mend it, then: dope sweep --resume {shlex.quote(str(done.path))} --retry"
        raise RunError(f"all of the sweep's runs failed: {done.standings[0].errors[0]}", hint)


def _typed(context: click.Context, name: str) -> bool:
    """Whether an option that a resumed sweep does not take was given."""
    own = ("seeds", "seed", "profile", "file", "contexts")
    source = context.get_parameter_source(name)
    return name in own and source is click.core.ParameterSource.COMMANDLINE


def as_dict(done: Sweep) -> dict[str, Any]:
    """A sweep as JSON can hold it."""

    def point(each: Standing) -> dict[str, Any]:
        return {**vars(each), "members": [str(done.directory.member(n)) for n in each.members]}

    best, plot = done.best, done.path / "plots" / "sweep.png"
    return {
        "sweep": str(done.path),
        "task": done.spec["task"],
        "figure": done.figure,
        "larger_is_better": done.larger,
        "points": [point(each) for each in done.standings],
        "best": {**point(best), "command": done.command} if best else None,
        "table": str(done.path / "table.csv"),
        "config": str(done.path / "best.yaml") if best else None,
        "plot": str(plot) if plot.is_file() else None,
    }


def _show(done: Sweep) -> None:
    """The points, the best first; what failed; the best again; and the files."""
    keys, several = done.varied, done.spec["seeds"] > 1
    head = [*_short(keys), done.figure, *(["spread"] if several else []), "epoch", "s", "status"]
    rows = []
    for each in done.standings[:SHOWN]:
        figures = [present.number(each.figure), *([present.number(each.spread)] if several else [])]
        values = [_cut(each.values[key]) for key in keys]
        why = f"{each.status}: {'; '.join(each.errors)}" if each.errors else each.status
        epoch, seconds = present.number(each.epoch), f"{each.seconds:.1f}"
        rows.append([*values, *figures, epoch, seconds, why])
    click.echo(present.table(rows, head=head))
    more = len(done.standings) - SHOWN
    if more > 0:
        click.echo(f"… and {more} more in {done.path / 'table.csv'}")
    if any(key == "loss" or key.startswith("loss.") for key in keys) and "loss" in done.figure:
        click.echo(f"note: the loss varies, so its values, {done.figure}, may not be comparable")
    if done.best:
        click.echo(f"\nbest: {done.command}\n")
        for name in ("best.yaml", "table.csv", "plots/sweep.png", "plots/members.png"):
            if (done.path / name).is_file():
                click.echo(done.path / name)
    click.echo(done.path)


def _short(keys: Sequence[str]) -> list[str]:
    """Keys without their sections where no two are then the same."""
    short = [key.rpartition(".")[2] for key in keys]
    return short if len(set(short)) == len(short) else list(keys)


def _cut(text: str) -> str:
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


@click.command("compare")
@click.argument(
    "compared", nargs=-1, required=True, metavar="RUN RUN...", shell_complete=offer("comparable")
)
@click.option("--output", metavar="FILE", help="The picture.  [default: compare.png in --runs]")
@options(runs_root, as_json, debug)
def compare(compared: tuple[str, ...], output: Optional[str], runs: str, as_json: bool) -> None:
    """Compare RUNs: what differs in their options, their figures, and their curves.

    RUN is a folder, the end of its name, or last; a sweep means all its members.

    \b
    Example:
      dope compare last 3f2a
      dope compare runs/sweeps/vision.mlp/* --output curves.png
    """
    from dope.core.comparing.runs import compare as side_by_side

    found = side_by_side(*compared, root=runs, output=output)
    for path, why in found.left_out:
        click.echo(f"warning: {path} is left out: {why}", err=True)
    if as_json:
        echo_json(found.as_dict())
        return
    click.echo(compared_text(found, present.terminal_width()))


def compared_text(found: Comparison, width: int) -> str:
    """The runs, the options that differ and the figures, no wider than ``width``.

    Runs are columns while they fit, and rows where they do not; then the columns are cut into
    blocks.
    """
    labels = [run.label for run in found.runs]
    several = len({run.task for run in found.runs}) > 1
    names = [(run.label, *([run.task] if several else []), str(run.path)) for run in found.runs]
    blocks = [present.table(names, width=width)]
    options = {k: [_cell(v) for v in row] for k, row in found.differing.items()}
    figures = {
        key: [
            present.number(v) + ("*" if found.best.get(key) == i else "") for i, v in enumerate(row)
        ]
        for key, row in found.metrics.items()
    }
    for what, rows in (("differs", options), ("figure", figures)):
        if rows:
            blocks += _blocks(what, rows, labels, width)
    if not options:
        blocks.insert(1, "no option differs")
    said = ["* best"] if found.best else []
    said += [str(found.plot)] if found.plot else ["no quantity that two runs have written down"]
    return "\n\n".join([*blocks, "\n".join(said)])


def _blocks(what: str, rows: dict[str, list[str]], labels: Sequence[str], width: int) -> list[str]:
    """One table with a column a run, or several with a row a run; none is too wide."""
    upright = [[_cut(key), *cells] for key, cells in rows.items()]
    head = [what, *labels]
    if _width([head, *upright]) <= width:
        return [present.table(upright, head=head, width=width)]
    made: list[str] = []
    columns = list(rows.items())
    while columns:
        taken = [columns.pop(0)]
        while columns and _width(_turned(labels, [*taken, columns[0]])) <= width:
            taken.append(columns.pop(0))
        first, *others = _turned(labels, taken)
        made.append(present.table(others, head=first, width=width))
    return made


def _turned(labels: Sequence[str], columns: Sequence[tuple[str, list[str]]]) -> list[list[str]]:
    head = ["run", *(_cut(key) for key, _ in columns)]
    return [head, *([label, *(c[i] for _, c in columns)] for i, label in enumerate(labels))]


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Columns that a table takes; the last column of one never has less than 20."""
    sizes = [max(map(len, column)) for column in zip(*rows)]
    return sum(sizes[:-1]) + max(20, sizes[-1]) + len(present.GAP) * (len(sizes) - 1)


def _cell(value: Any) -> str:
    return _cut(present.number(value))
