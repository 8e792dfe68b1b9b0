"""Where a configuration comes from: mappings and key=value arguments, and which of them wins.

Knows sections and keys only; types, defaults and completeness are the subject of ``config.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Union

from dope.core.configuring.values import Mismatch, from_text
from dope.core.errors import ConfigError, did_you_mean

SECTIONS = ("task", "dataset", "model", "loss", "optimizer", "trainer")
CALLBACKS = "trainer.callbacks"


@dataclass(frozen=True)
class Given:
    """One value, who gave it, and whether it is still text from the command line."""

    value: Any
    origin: str
    text: bool = False

    def at(self, section: str, key: str) -> str:
        """What the user wrote, for the beginning of an error."""
        if self.text:
            return f"{section}.{key}={self.value}"
        return f"{self.origin}: {section}.{key}"


@dataclass
class Source:
    """What one source says: part names by section, and options by section and key.

    ``authored`` marks the task's own defaults and profiles, which alone may say that a task
    has no such part. ``callbacks`` are the names of the whole list, None where the source gives
    no list.
    """

    origin: str
    authored: bool = False
    parts: dict[str, Optional[str]] = field(default_factory=dict)
    options: dict[str, dict[str, Given]] = field(default_factory=dict)
    callbacks: Optional[list[str]] = None
    callback_options: dict[str, dict[str, Given]] = field(default_factory=dict)


@dataclass
class Chosen:
    """What all sources together say of one section; ``callbacks``, by name, are the trainer's."""

    name: Optional[str] = None
    origin: str = ""
    options: dict[str, Given] = field(default_factory=dict)
    callbacks: dict[str, Chosen] = field(default_factory=dict)


def from_mapping(mapping: Any, origin: str, *, authored: bool = False) -> Source:
    """A source from ``{section: name, or {"name": …, option: value}, or None}``.

    Raises
    ------
    ConfigError
        Something is not a mapping, or a section is unknown.
    """
    source = Source(origin, authored)
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{origin}: not a mapping of sections", _sections())
    for section, content in mapping.items():
        if section not in SECTIONS:
            raise _unknown_section(f"{origin}: ", str(section))
        if isinstance(content, Mapping):
            options = dict(content)
            if "name" in options and section != "trainer":
                source.parts[section] = _part(options.pop("name"), origin, section)
            if section == "trainer" and "callbacks" in options:
                _listed(source, options.pop("callbacks"), f"{origin}: trainer.callbacks")
            source.options[section] = {
                str(key): Given(value, origin) for key, value in options.items()
            }
        elif section != "trainer":
            source.parts[section] = _part(content, origin, section)
        elif content is not None:
            raise ConfigError(
                f"{origin}: trainer is {content!r}, not a mapping of options",
                "Write trainer: {epochs: 3}.",
            )
    return source


def from_arguments(
    arguments: Iterable[str], near: Callable[[str], str], callbacks: Collection[str] = ()
) -> Source:
    """A source from ``section=part`` and ``section.option=value`` texts, in any order.

    An option of a callback is ``trainer.callbacks.NAME.option=value``.

    Parameters
    ----------
    arguments
        As they stand on the command line.
    near
        A hint for a key that has no known section.
    callbacks
        Registered names: of those that an option's key begins with, the longest is meant.

    Raises
    ------
    ConfigError
        There is no ``=``, the section is unknown, or a key has two values.
    """
    source = Source("command line")
    seen: dict[str, str] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        key = key.strip()
        section, dot, option = key.partition(".")
        if not equals:
            raise ConfigError(
                f"'{argument}' is not of the form key=value",
                "Write section.option=value, such as trainer.epochs=3.",
            )
        if section not in SECTIONS:
            raise _unknown_section(f"{argument}: ", section, near(key))
        if dot and option == "name":
            key, dot = section, ""
        if seen.setdefault(key, text) != text:
            raise ConfigError(f"{key} is given twice: '{seen[key]}' and '{text}'", "Keep one.")
        if key == CALLBACKS:
            _listed(source, _read_list(argument, text), argument)
        elif key.startswith(f"{CALLBACKS}."):
            name, inner = _callback(key[len(CALLBACKS) + 1 :], argument, callbacks)
            given = Given(text, source.origin, True)
            source.callback_options.setdefault(name, {})[inner] = given
        elif dot:
            source.options.setdefault(section, {})[option] = Given(text, source.origin, True)
        elif section == "trainer":
            raise ConfigError(
                f"{argument}: there is but one trainer", "Write trainer.epochs=3 or the like."
            )
        else:
            nothing = text.strip().lower() in ("null", "none")
            source.parts[section] = None if nothing else _part(text.strip(), argument, section)
    return source


def merge(task: str, sources: Sequence[Source]) -> dict[str, Chosen]:
    """Let later sources win; a section given to another part drops the old part's options.

    Raises
    ------
    ConfigError
        A source is for another task, takes away a part that the task needs, or gives one, or
        an option of one, that it does not have.
    """
    merged = {section: Chosen() for section in SECTIONS}
    merged["task"].name = task
    merged["trainer"].name = "trainer"
    for source in sources:
        for section, chosen in merged.items():
            if section in source.parts:
                _choose(task, section, chosen, source)
            options = source.options.get(section, {})
            if options and chosen.name is None:
                raise _no_such_part(task, section, source)
            chosen.options.update(options)
        _merge_callbacks(merged["trainer"], source)
    return merged


def _merge_callbacks(trainer: Chosen, source: Source) -> None:
    """Let a later list win; a callback that it names again keeps the options it had."""
    if source.callbacks is not None or source.callback_options:
        trainer.origin = source.origin
    if source.callbacks is not None:
        before = trainer.callbacks
        trainer.callbacks = {
            name: before.get(name) or Chosen(name, source.origin) for name in source.callbacks
        }
    for name, options in source.callback_options.items():
        chosen = trainer.callbacks.setdefault(name, Chosen(name, source.origin))
        chosen.options.update(options)


def _read_list(argument: str, text: str) -> Any:
    try:
        return from_text(text, List[Union[str, Dict[str, Any]]])
    except Mismatch:
        raise _no_list(argument) from None


def _listed(source: Source, content: Any, at: str) -> None:
    """Take in ``trainer.callbacks``: names, or mappings of a name and options."""
    if not isinstance(content, (list, tuple)):
        raise _no_list(at)
    source.callbacks = []
    for item in content:
        options = dict(item) if isinstance(item, Mapping) else {"name": item}
        name = options.pop("name", None)
        if not isinstance(name, str) or not name:
            raise _no_list(at)
        if name in source.callbacks:
            raise ConfigError(f"{at}: callback '{name}' is named twice", "Name it once.")
        source.callbacks.append(name)
        if options:
            made = {str(key): Given(value, source.origin) for key, value in options.items()}
            # An option that has words of its own on the command line says it more plainly.
            source.callback_options[name] = {**made, **source.callback_options.get(name, {})}


def _no_list(at: str) -> ConfigError:
    return ConfigError(
        f"{at}: callbacks are a list of names, or of mappings of a name and options",
        "Write callbacks: [acme.notify, {name: acme.other, every: 5}], and on the command line "
        f"{CALLBACKS}=acme.notify and {CALLBACKS}.acme.other.every=5.",
    )


def _callback(path: str, argument: str, known: Collection[str]) -> tuple[str, str]:
    """Name and option of ``acme.other.every``."""
    fits = [name for name in known if path.startswith(f"{name}.")]
    if not fits and path in known:
        raise ConfigError(
            f"'{argument}' names a callback but none of its options", f"Write {CALLBACKS}={path}."
        )
    name = max(fits, key=len, default=path.rpartition(".")[0])
    if not name:
        raise _no_list(argument)
    return name, path[len(name) + 1 :]


def _choose(task: str, section: str, chosen: Chosen, source: Source) -> None:
    name = source.parts[section]
    if section == "task" and name != task:
        raise ConfigError(
            f"{source.origin}: this is for task '{name}', not '{task}'", f"Run: dope run {name}"
        )
    if not source.authored and name is None and chosen.name is not None:
        raise ConfigError(
            f"{source.origin}: {section} is null, but task '{task}' needs one",
            f"Leave it out to keep '{chosen.name}'.",
        )
    if not source.authored and name is not None and chosen.name is None:
        raise _no_such_part(task, section, source)
    if name != chosen.name:
        chosen.options = {}
    chosen.name, chosen.origin = name, source.origin


def _no_such_part(task: str, section: str, source: Source) -> ConfigError:
    return ConfigError(f"{source.origin}: task '{task}' has no {section}", f"Leave {section} out.")


def _part(value: Any, origin: str, section: str) -> Optional[str]:
    if value is None or (isinstance(value, str) and value):
        return value
    raise ConfigError(
        f"{origin}: {section} is {value!r}, not the name of a part", "Run `dope list` for names."
    )


def _unknown_section(start: str, section: str, near: str = "") -> ConfigError:
    hint = did_you_mean(section, SECTIONS) or near
    return ConfigError(f"{start}unknown section '{section}'", f"{hint} {_sections()}".strip())


def _sections() -> str:
    return f"Sections are {', '.join(SECTIONS)}."
