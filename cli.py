"""The command line: what people type, and what they are shown.

Holds no logic of its own: the commands call core.api, and core.present lays out what comes back.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

import click

from dope.core.callbacks import Callback
from dope.core.errors import ConfigError, DopeError, PluginError, RunError, did_you_mean
from dope.core.plugging.discovery import discover
from dope.core.plugging.registry import KINDS
from dope.core.rundir import plain
from dope.core.terminal import commands, exporting, launching, looking, present
from dope.core.terminal.commandline import (
    as_json,
    best,
    debug,
    echo_json,
    offer,
    on_a_run,
    profile,
    quiet,
    runs_root,
    settings,
    written,
)

if TYPE_CHECKING:
    from dope.core.api import Run
    from dope.core.plugging.registry import Registry
    from dope.core.trainer import Trainer

F = TypeVar("F", bound=Callable[..., Any])


class Dope(click.Group):
    """The group of commands; turns what goes wrong into one line and an exit code."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            near = did_you_mean(args[0], self.commands)
            known = f"Commands are {', '.join(self.list_commands(ctx))}."
            raise ConfigError(
                f"there is no command '{args[0]}'", f"{near} {known}".strip()
            ) from None

    def main(self, args: Optional[Sequence[str]] = None, *rest: Any, **settings: Any) -> Any:
        """Run one command line and end the process with its exit code."""
        asked = os.environ.get("_DOPE_COMPLETE")
        if asked:
            from dope.core.terminal.completion import answer

            sys.exit(answer(self, asked))
        given = list(sys.argv[1:] if args is None else args)
        code = 0
        try:
            with self.make_context("dope", list(given)) as context:
                self.invoke(context)
            sys.stdout.flush()
        except click.exceptions.Exit as leaving:
            code = leaving.exit_code
        except BrokenPipeError:  # whoever read our output (head, say) has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = 1
        except (Exception, KeyboardInterrupt) as error:
            if "--debug" in given or os.environ.get("DOPE_DEBUG", "0") not in ("", "0"):
                traceback.print_exc()
            line, code = _verdict(error)
            click.echo(line, err=True)
        if code and os.environ.get("DMLC_ROLE"):  # MXNet's goodbye would wait for the others
            sys.stdout.flush()
            os._exit(code)
        sys.exit(code)


def _verdict(error: BaseException) -> tuple[str, int]:
    """The one line and the exit code for whatever was raised."""
    run = vars(error).get("run")
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        on = f". Go on with: dope resume {shlex.quote(str(run))}" if run else ""
        return f"interrupted{on}", 130
    if isinstance(error, DopeError):
        line = " ".join(f"error: {error}".splitlines())
        seen = run is None or str(run) in line
        return (line if seen else f"{line.rstrip('.')}. The run: {run}"), error.exit_code
    if isinstance(error, click.ClickException):
        command = getattr(getattr(error, "ctx", None), "command_path", "dope")
        message = " ".join(error.format_message().split())
        return f"error: {message.rstrip('.')}. See: {command} -h", error.exit_code
    lines = [each.strip() for each in str(error).splitlines()]
    words = [each for each in lines if each and not each.startswith(("Traceback", "File "))]
    kind = type(error).__name__
    first = words[0][:300].replace(f"{kind}: ", "", 1) if words else "no message"
    return f"error: unexpected {kind}: {first}. Run again with --debug for the traceback.", 1


@click.group(
    cls=Dope,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="dope", message="dope %(version)s")
@debug
@click.pass_context
def cli(context: click.Context) -> None:
    """Run, take apart and extend the models of Deep Learning: The Straight Dope.

    \b
    Example:
      dope list
      dope run timeseries.issm dataset=timeseries.nile task.horizon=5
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _profiles(target: str) -> dict[str, Any]:
    from dope.core.configuring.signature import class_attribute

    return {"quick": {}, **class_attribute(target, "profiles", {})}


def _known_profiles(target: str) -> list[str]:
    try:
        return list(_profiles(target))
    except DopeError:  # one broken part must not take the whole list down; show and run say why
        return ["?"]


@cli.command("list")
@click.argument("domain", required=False, shell_complete=offer("domains"))
@click.option("--kind", type=click.Choice([*KINDS, "all"]), default="task", show_default=True)
@as_json
@debug
def list_parts(domain: Optional[str], kind: str, as_json: bool) -> None:
    """List tasks and other parts, all or of one DOMAIN.

    \b
    Example:
      dope list timeseries --kind all
    """
    registry = discover()
    domains = {entry.domain for entry in registry.entries()}
    if domain is not None and domain not in domains:
        why, remedy = registry.absence(domain)
        known = f"Domains are {', '.join(sorted(domains)) or 'none'}."
        hint = " ".join(filter(None, [remedy, did_you_mean(domain, domains), known]))
        raise ConfigError(f"there is no domain '{domain}'{why}", hint)
    entries = registry.entries(None if kind == "all" else kind, domain)
    profiles = {e.name: _known_profiles(e.target) for e in entries if e.kind == "task"}
    if as_json:
        keys = ("kind", "name", "summary", "plugin", "target")
        rows = [{key: getattr(entry, key) for key in keys} for entry in entries]
        for row in rows:
            if row["kind"] == "task":
                row["profiles"] = profiles[row["name"]]
        echo_json(rows)
    elif kind == "task":
        cells = [(e.name, ", ".join(profiles[e.name]), e.summary) for e in entries]
        click.echo(present.table(cells, head=("task", "profiles", "what it does")))
        click.echo("\nEvery option of a task: dope show TASK")
    else:
        cells = [(e.kind, e.name, e.summary) for e in entries]
        click.echo(present.table(cells, head=("kind", "name", "what it is")))
    broken = [plugin.name for plugin in registry.plugins if plugin.error]
    if broken:
        click.echo(f"warning: broken plugins: {', '.join(broken)}. See: dope plugins", err=True)


@cli.command()
@click.argument("task", metavar="NAME", shell_complete=offer("tasks"))
@click.option(
    "--kind", type=click.Choice([*KINDS, "optimizer"]), help="Where several kinds have that NAME."
)
@click.option(
    "--profile",
    default="quick",
    show_default=True,
    help="Whose defaults are shown.",
    shell_complete=offer("profiles"),
)
@click.option("--schema", is_flag=True, help="Print the JSON schema of --config files.")
@as_json
@debug
def show(task: str, kind: Optional[str], profile: str, schema: bool, as_json: bool) -> None:
    """Show every option of a task or another part, its type and meaning.

    A task is shown with all its parts; --kind tells it from a model of the same NAME.

    \b
    Example:
      dope show timeseries.issm --profile book
      dope show vision.cnn --kind model
    """
    from dope.core.configuring.asking import describe_questions
    from dope.core.configuring.config import describe, json_schema, kind_of
    from dope.core.configuring.signature import signature
    from dope.core.exporting.declaring import reasons

    registry = discover()
    kind = kind or kind_of(registry, task)
    if kind != "task":
        _show_part(registry, kind, task, as_json)
        return
    entry = registry.get("task", task)
    if schema:
        echo_json(json_schema(registry, task))
        return
    rows = describe(registry, task, profile=profile)
    asked = describe_questions(registry, task)
    profiles = _profiles(entry.target)
    about = signature(entry.target).doc_summary or entry.summary
    if as_json:
        made = {"task": task, "summary": about, "profiles": profiles, "profile": profile}
        options = {"options": [row._asdict() for row in rows]}
        told = {"predict": [row._asdict() for row in asked], "export": reasons(registry, task)}
        echo_json({**made, **options, **told})
        return
    click.echo(f"{task}: {about}\n")
    lines = [
        (row.section if row.key == "name" else f"{row.section}.{row.key}", *row[2:]) for row in rows
    ]
    click.echo(present.table(lines, head=("option", "type", "default", "meaning")))
    if asked:
        lines = [row[1:] for row in asked]
        click.echo(
            "\n" + present.table(lines, head=("of dope predict", "type", "default", "meaning"))
        )
    click.echo(f"\nProfiles: {', '.join(profiles)} (shown: {profile})")
    click.echo(exporting.formats(reasons(registry, task)))
    larger = "book" if "book" in profiles else "quick"
    click.echo(f"Example:  dope run {task} --profile {larger} trainer.epochs=5")


def _show_part(registry: Registry, kind: str, name: str, as_json: bool) -> None:
    """Show one part of any kind but a task."""
    from dope.core.configuring.config import describe_part
    from dope.core.configuring.options import part_signature

    about = part_signature(registry, kind, name).doc_summary
    about = about.rstrip(":") or registry.get(kind, name).summary
    rows = describe_part(registry, kind, name)
    if as_json:
        options = [row._asdict() for row in rows]
        echo_json({"kind": kind, "name": name, "summary": about, "options": options})
        return
    lines = [row[1:] for row in rows]
    head = ("option", "type", "default", "meaning")
    click.echo(f"{kind} {name}: {about}\n")
    click.echo(present.table(lines, head=head) if rows else "It has no options.")
    section = rows[0].section if rows else kind
    use = f"trainer.callbacks={name}" if kind == "callback" else f"{kind}={name}"
    click.echo(f"\nUse it:  dope run TASK {use}" + (f" {section}.OPTION=VALUE" if rows else ""))


@cli.command()
@click.argument("task", shell_complete=offer("tasks"))
@settings
@profile
@click.option("--config", "file", metavar="FILE", help="A YAML file of options.")
@click.option("--contexts", default="auto", show_default=True, help="Such as cpu(0),cpu(1).")
@click.option("--seed", default=0, show_default=True, help="Of everything random in the run.")
@click.option("--no-hybridize", is_flag=True, help="Do not compile the networks.")
@click.option("--dry-run", is_flag=True, help="Print each option and its origin, then stop.")
@written
@quiet
@runs_root
@as_json
@debug
def run(
    task: str,
    settings: tuple[str, ...],
    profile: str,
    file: Optional[str],
    contexts: str,
    seed: int,
    no_hybridize: bool,
    dry_run: bool,
    tensorboard: bool,
    as_csv: bool,
    quiet: bool,
    runs: str,
    as_json: bool,
) -> None:
    """Train TASK and report.

    Options of its parts are given as KEY=VALUE, in any order: see dope show TASK.

    \b
    Example:
      dope run timeseries.issm dataset=timeseries.nile task.horizon=5 --seed 1
    """
    words = [task, *settings]  # KEY=VALUE may stand before the task, too
    task = next((word for word in words if "=" not in word), task)
    words.remove(task)
    registry = discover()
    if dry_run:
        from dope.core.configuring.config import resolve

        path = Path(file) if file else None
        config = resolve(registry, task, profile=profile, file=path, overrides=words)
        sections = config.as_dict()
        if as_json:
            echo_json({"task": task, "config": sections, "origins": config.origins})
        else:
            click.echo(present.with_origins(sections, config.origins))
        return
    from dope.core import api
    from dope.core.distributing.launching import serves

    if serves():
        return
    watchers = _watchers(quiet, tensorboard, as_csv)
    done = api.run(
        task,
        profile=profile,
        file=file,
        overrides=words,
        runs=runs,
        contexts=contexts,
        seed=seed,
        hybridize=not no_hybridize,
        callbacks=watchers,
        registry=registry,
    )
    _finish(done, as_json, watchers)


@cli.command()
@on_a_run
@written
@quiet
def resume(
    run: str,
    settings: tuple[str, ...],
    runs: str,
    as_json: bool,
    tensorboard: bool,
    as_csv: bool,
    quiet: bool,
) -> None:
    """Go on with a RUN that was stopped.

    RUN is its folder, the end of its name, or last; it ends as if it had never stopped.

    \b
    Example:
      dope resume last
      dope resume last trainer.epochs=200
    """
    from dope.core import api
    from dope.core.distributing.launching import serves

    if serves():
        return
    watchers = _watchers(quiet, tensorboard, as_csv)
    done = api.resume(run, overrides=settings, runs=runs, callbacks=watchers)
    _finish(done, as_json, watchers)


@cli.command("eval")
@on_a_run
@best
def evaluate(run: str, settings: tuple[str, ...], runs: str, as_json: bool, best: bool) -> None:
    """Evaluate a trained RUN on held-out data.

    RUN is its folder, the end of its name, or last; KEY=VALUE may name another data set.

    \b
    Example:
      dope eval last
      dope eval last dataset=vision.mnist dataset.path=FOLDER
    """
    from dope.core import api

    metrics = api.evaluate(run, overrides=settings, runs=runs, best=best)
    if as_json:
        echo_json(metrics)
    else:
        click.echo(present.figures(plain(metrics)) or "this task has no held-out data")


@cli.command(context_settings={"ignore_unknown_options": True})
@on_a_run
@best
@click.option("--seed", type=int, help="Of what is drawn at random; default that of the run.")
@click.option("--output", metavar="FILE", help="Write the rows as CSV; - is standard output.")
def predict(
    run: str,
    settings: tuple[str, ...],
    runs: str,
    as_json: bool,
    best: bool,
    seed: Optional[int],
    output: Optional[str],
) -> None:
    """Apply a trained RUN and show what it predicts.

    RUN is its folder, the end of its name, or last; KEY=VALUE may name another data set. A task
    may take options of its own, such as --input: dope show TASK lists them.

    \b
    Example:
      dope predict last task.horizon=12 --output forecast.csv
      dope predict last --input digits/*.png
      dope predict last --prefix "The Time" --temperature 0.5
    """
    from dope.core import api

    if run.startswith("--"):
        raise ConfigError(f"{run} stands where RUN belongs", f"Write: dope predict last {run} …")
    made = plain(api.predict(run, words=settings, runs=runs, best=best, seed=seed))
    rows = made.get("rows")
    if output is not None:
        if rows is None:
            raise RunError("this task predicts no rows", "Leave --output out.")
        _write_csv(rows, output)
        if output == "-":
            return
    if as_json:
        echo_json(made)
        return
    made.pop("rows", None)
    files = made.pop("files", [])
    if rows is not None and output is None:
        click.echo(present.records(rows))
    if made:
        click.echo(present.figures(made))
    for path in [*files, *([output] if output else [])]:
        click.echo(path)


cli.add_command(commands.sweep)
cli.add_command(commands.compare)
cli.add_command(launching.launch)
cli.add_command(exporting.export)
cli.add_command(looking.report)
cli.add_command(looking.board)


@cli.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=offer("plugins"))
@click.option("--verbose", is_flag=True, help="Name all that they register, as with NAME.")
@click.option("--strict", is_flag=True, help="Fail when a plugin is broken or slow.")
@as_json
@debug
def plugins(names: tuple[str, ...], verbose: bool, strict: bool, as_json: bool) -> None:
    """List the plugins and, where one is broken, why.

    For each: the distribution it is from, what it registers, and its state.

    \b
    Example:
      dope plugins vision
      dope plugins --strict
    """
    from dope.core.plugging import health

    registry = discover()
    found = health.chosen(registry, names)
    health.examine(registry)
    if strict:
        health.insist(found)
    for warning in registry.warnings:
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        echo_json([health.facts(each) for each in found])
        return
    rows = [(p.name, p.owner, health.counted(p), health.state(p)) for p in found]
    click.echo(present.table(rows, head=("plugin", "from", "registers", "state")))
    for each in found if verbose or names else []:
        cells = [(e.kind, e.name, e.target) for e in each.entries]
        click.echo(f"\n{each.name} ({each.module})\n{present.table(cells)}".rstrip())


@cli.group(cls=Dope, invoke_without_command=True)
@debug
@click.pass_context
def plugin(context: click.Context) -> None:
    """Write a plugin, and check one.

    \b
    Example:
      dope plugin new acme-churn
      dope plugin check churn
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@plugin.command("new")
@click.argument("project")
@click.option("--package", metavar="NAME", help="What Python imports.  [default: as PROJECT]")
@click.option(
    "--plugin", "name", metavar="NAME", help="What names begin with.  [default: PROJECT's rest]"
)
@click.option("--bare", is_flag=True, help="Write a task alone.")
@click.option("--dir", "folder", metavar="DIR", help="The new folder.  [default: PROJECT]")
@debug
def new_plugin(
    project: str, package: Optional[str], name: Optional[str], bare: bool, folder: Optional[str]
) -> None:
    """Write the project of a new plugin, which can be installed and tested at once.

    PROJECT is what pip calls it. Its first word is the owner's: what follows is the plugin's name.

    \b
    Example:
      dope plugin new acme-churn
      dope plugin new acme-churn --package churners --plugin acme --bare
    """
    from dope.core.scaffold import new_project

    taken = [each.name for each in discover().plugins]
    made = new_project(project, package=package, plugin=name, bare=bare, folder=folder, taken=taken)
    for file in made.files:
        click.echo(made.path / file)
    click.echo(f"\nPlugin {made.plugin}, package {made.package}. Now:\n")
    click.echo(f"  cd {shlex.quote(str(made.path))}\n  pip install -e .\n  pytest")
    click.echo(f"  dope run {made.task}")


@plugin.command("check")
@click.argument("name", shell_complete=offer("plugins"))
@click.option("--task", metavar="TASK", help="Check this task alone.")
@as_json
@debug
def check_plugin(name: str, task: Optional[str], as_json: bool) -> None:
    """Run dope's contract suite on a plugin and on each of its tasks.

    NAME is as dope plugins lists it, or all. It fails when a check fails, or too few can run.

    \b
    Example:
      dope plugin check losses
      dope plugin check vision --task vision.softmax
    """
    from dope.core.testing import plugin as checking

    def started(subject: str, check: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"{subject} {check} …", nl=False, err=True)

    outcomes = []
    for outcome in checking.check_plugin(discover(), name, task=task, started=started):
        outcomes.append(outcome)
        if sys.stderr.isatty():
            click.echo("\r\033[K", nl=False, err=True)
        click.echo(checking.lines(outcome), err=as_json)
    wrong = checking.verdict(outcomes)
    if as_json:
        echo_json(checking.summary(outcomes))
    else:
        click.echo(f"\n{checking.total(outcomes)}")
    if wrong:
        raise PluginError(wrong, "Their lines above say why.")


@plugin.command("disable")
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME...", shell_complete=offer("plugins")
)
@debug
def disable_plugins(names: tuple[str, ...]) -> None:
    """Switch plugins off, for all commands and for good.

    NAME is as dope plugins lists it. For one command: DOPE_DISABLE_PLUGINS=NAME,NAME

    \b
    Example:
      dope plugin disable vision losses
    """
    from dope.core.plugging import health

    for line in health.disable(discover(), names):
        click.echo(line)


@plugin.command("enable")
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME...", shell_complete=offer("plugins")
)
@debug
def enable_plugins(names: tuple[str, ...]) -> None:
    """Switch plugins on again.

    NAME is as dope plugins lists it.

    \b
    Example:
      dope plugin enable vision losses
    """
    from dope.core.plugging import health

    for line in health.enable(discover(), names):
        click.echo(line)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@debug
def completion(shell: str) -> None:
    """Print the script that makes TAB complete dope's commands, names and keys.

    \b
    bash: dope completion bash > ~/.dope-completion; then add this line to ~/.bashrc:
            source ~/.dope-completion
    zsh:  the same with zsh and ~/.zshrc, below the line with compinit
    fish: dope completion fish > ~/.config/fish/completions/dope.fish

    \b
    Example:
      dope completion bash
    """
    from dope.core.terminal.completion import script

    click.echo(script(cli, shell), nl=False)


@cli.command()
@runs_root
@as_json
@debug
def doctor(runs: str, as_json: bool) -> None:
    """Check this machine, with a remedy for what fails.

    Python, NumPy, NVIDIA's driver, cards and libraries, MXNet, threads, contexts, a product of
    matrices on each card, a small training step, plugins and disk.

    \b
    Example:
      dope doctor
    """
    from dope.core.doctor import examine

    checks = examine(runs)
    if as_json:
        echo_json([vars(check) for check in checks])
    else:
        rows = []
        for check in checks:
            rows.append((check.state, check.name, check.text))
            rows += [("", "", f"-> {check.remedy}")] if check.remedy else []
        click.echo(present.table(rows))
    if any(check.state == "FAIL" for check in checks):
        click.get_current_context().exit(1)


class _Notes(Callback):
    """Say at the start what the task has to say about its data; the log keeps it."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def on_fit_start(self, trainer: Trainer) -> None:
        for note in getattr(trainer.task, "notes", []):
            trainer.run.log(f"note: {note}")
            if not self.quiet:
                click.echo(f"note: {note}", err=True)


def _watchers(quiet: bool, tensorboard: bool, as_csv: bool) -> list[Callback]:
    from dope.core.terminal.progress import progress

    found: list[Callback] = [_Notes(quiet), *([] if quiet else [progress()])]
    if tensorboard or as_csv:
        from dope.core.reporting.callbacks import CSV, TensorBoard

        found += [TensorBoard()] if tensorboard else []
        found += [CSV()] if as_csv else []
    return found


def _finish(done: Run, as_json: bool, watchers: Sequence[Callback]) -> None:
    """Say what came of a run: figures, files, and last of all its folder."""
    if not done.leads:  # another worker says it
        return
    for finish in filter(None, (getattr(each, "finish", None) for each in watchers)):
        finish(done.path)
    if done.result["status"] == "interrupted":
        stopped = KeyboardInterrupt()
        vars(stopped)["run"] = done.path
        raise stopped
    if as_json:
        echo_json({**done.result, "run": done.path})
        return
    if done.metrics:
        click.echo(present.figures(plain(done.metrics)) + "\n")
    why = f" ({done.result['stopped']})" if done.result.get("stopped") else ""
    epochs, steps, seconds = (done.result[key] for key in ("epochs", "steps", "seconds"))
    click.echo(f"{epochs} epochs, {steps} steps, {seconds:.1f} s{why}")
    for line in present.by_folder(done.directory.files()):
        click.echo(line)
    click.echo(done.path)


def _write_csv(rows: Sequence[Mapping[str, Any]], output: str) -> None:
    if output == "-":
        present.write_csv(rows, sys.stdout)
        return
    try:
        with Path(output).open("w", newline="", encoding="utf-8") as handle:
            present.write_csv(rows, handle)
    except OSError as error:
        hint = "Choose another place with --output."
        raise RunError(f"cannot write {output}: {error.strerror or error}", hint) from error


def _terminate(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """The ``dope`` command."""
    signal.signal(signal.SIGTERM, _terminate)  # as Ctrl-C: save, say how to go on, 130
    cli.main()
