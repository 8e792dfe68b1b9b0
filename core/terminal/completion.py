"""What the shell offers on TAB: tasks, runs, keys, part names and values.

Holds candidates, and click's shells where theirs do not fit KEY=VALUE; imports no part.
"""

from __future__ import annotations

import contextlib
import re
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable, Union

import click
from click import shell_completion as shells

from dope.core.configuring.options import part_signature
from dope.core.configuring.signature import class_attribute
from dope.core.configuring.sources import SECTIONS
from dope.core.optimizing.optimizers import OPTIMIZERS
from dope.core.plugging.discovery import discover
from dope.core.plugging.registry import Registry
from dope.core.rundir import DEFAULT_ROOT, RunDirectory
from dope.core.sweeping.folder import SweepDirectory

VARIABLE = "_DOPE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
Candidates = Iterable[tuple[str, str]]  # what is typed, and what it means


def answer(cli: click.Command, instruction: str) -> int:
    """Print the script, or the candidates, that a shell asks for; the exit code.

    Parameters
    ----------
    cli
        The ``dope`` command.
    instruction
        Value of the variable ``_DOPE_COMPLETE``: ``bash_complete``, ``fish_source`` and so on.

    Notes
    -----
    Never raises: a traceback in the middle of a command that somebody types helps nobody.
    """
    try:
        for shell in (Bash, Zsh, Fish):
            shells.add_completion_class(shell)
        return shells.shell_complete(cli, {}, "dope", VARIABLE, instruction)
    except (Exception, SystemExit):
        return 1


def script(cli: click.Command, shell: str) -> str:
    """The script that switches completion on in ``bash``, ``zsh`` or ``fish``."""
    kind = {"bash": Bash, "zsh": Zsh, "fish": Fish}[shell]
    return kind(cli, {}, "dope", VARIABLE).source()


def offer(what: Callable[[click.Context, str], Candidates]) -> Callable[..., Any]:
    """A function of candidates as click wants it; those that do not fit are left out."""

    def complete(context: click.Context, parameter: Any, incomplete: str) -> list[Any]:
        found: list[Any] = []
        with contextlib.suppress(Exception):
            for value, meaning in what(context, incomplete):
                if value.startswith(incomplete):
                    short = " ".join(meaning.split())[:80]
                    found.append(shells.CompletionItem(value, help=short or None))
        return found

    return complete


def _tasks(context: click.Context, incomplete: str) -> Candidates:
    tasks = [(entry.name, entry.summary) for entry in discover().entries("task")]
    # KEY=VALUE may stand before the task, too; which keys there are, only the task tells.
    before = _sections_before(incomplete) if context.info_name in ("run", "sweep") else ()
    return [*tasks, *before]


def _sections_before(incomplete: str) -> Candidates:
    return _options(discover(), "trainer", "trainer") if incomplete.startswith("trainer.") else []


def _domains(context: click.Context, incomplete: str) -> Candidates:
    return [(domain, "") for domain in sorted({entry.domain for entry in discover().entries()})]


def _plugins(context: click.Context, incomplete: str) -> Candidates:
    given = context.params.get("names") or ()
    found = {info.name: info.status for info in discover().plugins if info.name not in given}
    return found.items()


def _profiles(context: click.Context, incomplete: str) -> Candidates:
    task = _words(context)[0]
    profiles: dict[str, Any] = {"quick": {}}
    if task:
        profiles.update(class_attribute(discover().get("task", task).target, "profiles", {}))
    return [(profile, "") for profile in profiles]


def _runs(context: click.Context, incomplete: str) -> Candidates:
    root = Path(context.params.get("runs") or DEFAULT_ROOT)
    found = sorted(root.glob("*/*/config.yaml"), key=lambda p: p.parent.name, reverse=True)
    folders = [path.parent for path in found]
    if folders:
        yield "last", str(folders[0])
    for folder in folders:
        yield str(folder), ""
    if incomplete:
        for folder in folders:
            yield folder.name, folder.parent.name


def _keys(context: click.Context, incomplete: str) -> Candidates:
    """``section=``, ``section.``, then ``section.option=``, then values."""
    registry = discover()
    parts = _parts(registry, context)
    key, equals, _ = incomplete.partition("=")
    section, dot, option = key.partition(".")
    if equals and not dot:
        return [(f"{key}={name}", about) for name, about in _names(registry, section)]
    if equals:
        options = part_signature(registry, section, parts[section]).options
        values = _values(options[option].annotation)
        return [(f"{key}={value}", "") for value in values]
    if dot:
        return _options(registry, section, parts[section])
    return _sections(registry, parts)


def _points(context: click.Context, incomplete: str) -> Candidates:
    """As `_keys`; behind a comma the next value."""
    before, comma, last = incomplete.rpartition(",")
    key, equals, _ = before.partition("=")
    if not (comma and equals):
        return _keys(context, incomplete)
    given = before[len(key) + 1 :].split(",")
    found = [(value[len(key) + 1 :], about) for value, about in _keys(context, f"{key}={last}")]
    return [(f"{before},{value}", about) for value, about in found if value not in given]


def _sweeps(context: click.Context, incomplete: str) -> Candidates:
    root = context.params.get("runs") or DEFAULT_ROOT
    folders = SweepDirectory.all(root)[::-1]
    if folders:
        yield "last", str(folders[0])
    for folder in folders:
        yield str(folder), ""
    if incomplete:
        for folder in folders:
            yield folder.name, folder.parent.name


def _comparable(context: click.Context, incomplete: str) -> Candidates:
    given = context.params.get("compared") or ()
    sweeps = ((text, about or "a sweep") for text, about in _sweeps(context, incomplete))
    found = [*_runs(context, incomplete), *(each for each in sweeps if each[0] != "last")]
    return [each for each in found if each[0] not in given]


def _sections(registry: Registry, parts: dict[str, str]) -> Candidates:
    for section, name in parts.items():
        if section not in ("task", "trainer"):
            yield f"{section}=", f"now {name}"
        with contextlib.suppress(Exception):
            if part_signature(registry, section, name).options:
                yield f"{section}.", f"options of {name}"


def _options(registry: Registry, section: str, name: str) -> Candidates:
    for key, option in part_signature(registry, section, name).options.items():
        yield f"{section}.{key}=", option.description


def _names(registry: Registry, section: str) -> Candidates:
    if section == "optimizer":
        return [(name, "") for name in OPTIMIZERS]
    return [(entry.name, entry.summary) for entry in registry.entries(section)]


def _values(annotation: Any) -> Iterator[str]:
    """The texts that an option takes, where these can be counted."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        yield from ("null" if value is None else str(value) for value in inner)
    elif origin in (Union, typing.Annotated):
        for arm in inner if origin is Union else inner[:1]:
            yield from _values(arm)
    elif annotation is bool:
        yield from ("true", "false")
    elif annotation is type(None):
        yield "null"


def _words(context: click.Context) -> tuple[str, list[str]]:
    """The task that was typed, or that of the run; and the KEY=VALUE words."""
    params = context.params
    given = (params.get("task"), *(params.get("settings") or ()))
    # Behind an option that waits for its value, click leaves the words unread.
    words = [word for word in (*given, *context.args) if word]
    task = next((word for word in words if "=" not in word), "")
    return task, [word for word in words if "=" in word]


def _parts(registry: Registry, context: click.Context) -> dict[str, str]:
    """Name of the part in each section that the task has, as the words so far choose them."""
    task, words = _words(context)
    if context.params.get("run"):
        from dope.core.configuring.values import read_yaml

        root = context.params.get("runs") or DEFAULT_ROOT
        sections = read_yaml(RunDirectory.find(context.params["run"], root).path / "config.yaml")
    else:
        target = registry.get("task", task).target
        sections = {"task": task, **class_attribute(target, "defaults", {})}
        profile = class_attribute(target, "profiles", {}).get(context.params.get("profile"), {})
        for section, content in profile.items():
            if not isinstance(content, dict) or "name" in content:
                sections[section] = content
    typed = dict(word.split("=", 1) for word in words)
    found = {}
    for section in SECTIONS:
        content = sections.get(section)
        name = content.get("name") if isinstance(content, dict) else content
        name = typed[section].partition(",")[0] if section in typed else name  # of a sweep, one
        if section == "trainer":
            name = "trainer"
        if isinstance(name, str):
            found[section] = name
    return found


tasks, domains, plugins, profiles, runs, keys = map(
    offer, (_tasks, _domains, _plugins, _profiles, _runs, _keys)
)
points, sweeps, comparable = map(offer, (_points, _sweeps, _comparable))


class Bash(shells.BashComplete):
    """Bash, which takes ``=`` for the end of a word, and where a key must not end in a blank."""

    source_template = shells.BashComplete.source_template.replace(
        "    return 0\n",
        "    [[ ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace\n\n    return 0\n",
    )
    cut = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """Words as they were typed: ``model``, ``=``, ``vi`` is the one word ``model=vi``."""
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        open_end = False
        for word in [*args, incomplete]:
            if words and (open_end or re.fullmatch("=+", word)) and words[-1]:
                words[-1] += word
            else:
                words.append(word)
            open_end = bool(re.fullmatch("=+", word))
        joined = words.pop() if words else ""
        self.cut = joined.rfind("=") + 1 if joined != incomplete else 0
        return words, joined

    def format_completion(self, item: Any) -> str:
        """Without what stands before ``=``, for that is another word to bash."""
        value = item.value
        if self.cut and "=" in value:
            value = value[self.cut :]
        return f"{item.type},{value}"


class Zsh(shells.ZshComplete):
    """Zsh, told not to add a blank after a key."""

    source_template = (
        shells.ZshComplete.source_template.replace(
            '        if [[ "$type" == "plain" ]]; then\n',
            '        if [[ "$type" == "plain" && "$key" == *[=.] ]]; then\n'
            '            keys+=("$key")\n'
            '        elif [[ "$type" == "plain" ]]; then\n',
        )
        .replace("    local -a response\n", "    local -a response\n    local -a keys\n")
        .replace(
            '    if [ -n "$completions" ]; then\n',
            '    if [ -n "$keys" ]; then\n        compadd -U -S "" -V unsorted -a keys\n    fi\n\n'
            '    if [ -n "$completions" ]; then\n',
        )
    )


class Fish(shells.FishComplete):
    """Fish, whose script cuts each line at commas."""

    def format_completion(self, item: Any) -> str:
        """Without commas in the meaning; fish itself adds no blank after ``=``."""
        return f"{super().format_completion(item)}".replace(", ", "; ")
