"""A task's configuration: six sections, each value checked against its part's signature.

Says who wins, where each value is from, and what can be said; it imports no part.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Optional

from dope.core.configuring.annotations import type_text
from dope.core.configuring.options import (
    TrainerOptions,
    complete,
    complete_callbacks,
    part_signature,
)
from dope.core.configuring.signature import REQUIRED, Signature, class_attribute
from dope.core.configuring.sources import (
    CALLBACKS,
    SECTIONS,
    Chosen,
    Source,
    from_arguments,
    from_mapping,
    merge,
)
from dope.core.configuring.values import json_schema as type_schema
from dope.core.configuring.values import plain, read_yaml, to_yaml
from dope.core.errors import ConfigError, PluginError, did_you_mean
from dope.core.optimizing.optimizers import OPTIMIZERS
from dope.core.plugging.registry import KINDS, Registry

__all__ = [
    "Config",
    "Row",
    "TrainerOptions",
    "describe",
    "describe_part",
    "json_schema",
    "kind_of",
    "resolve",
]


@dataclass(frozen=True)
class Config:
    """A complete configuration.

    Parameters
    ----------
    task
        Name of the task.
    sections
        For each of ``SECTIONS`` its options, all of them, and its part's ``name`` (the trainer
        has none); None for a part that the task does not have.
    origins
        ``section.key`` to where the value came from; ``trainer.callbacks.NAME.option`` for the
        options of callbacks, which are items of the list ``callbacks`` of the trainer.
    """

    task: str
    sections: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict, compare=False)

    def part(self, section: str) -> Optional[str]:
        """Name of the section's part; None when the task has none."""
        return (self.sections[section] or {}).get("name")

    def options(self, section: str) -> dict[str, Any]:
        """Options of the section, ready to be passed to its part as keywords; a copy."""
        found = self.sections[section] or {}
        return {key: value for key, value in found.items() if key != "name"}

    def as_dict(self) -> dict[str, Any]:
        """Sections as plain data, as ``from_dict`` takes them."""
        made: dict[str, Any] = plain(self.sections)
        return made

    def to_yaml(self) -> str:
        """Sections as YAML text."""
        return to_yaml(self.sections)

    @staticmethod
    def from_dict(
        registry: Registry, mapping: Mapping[str, Any], origin: str = "config.yaml"
    ) -> Config:
        """The configuration that ``as_dict`` or ``to_yaml`` wrote, checked again.

        Raises
        ------
        ConfigError
            A section is missing or not what it must be.
        """
        source = from_mapping(mapping, origin, authored=True)
        missing = [section for section in SECTIONS if section not in mapping]
        task = source.parts.get("task")
        if missing or task is None:
            raise ConfigError(
                f"{origin}: section '{(missing or ['task'])[0]}' is missing",
                "Give the whole configuration, as dope wrote it.",
            )
        return _complete_all(registry, task, merge(task, [source]))


class Row(NamedTuple):
    """One option as ``dope show`` prints it."""

    section: str
    key: str
    type: str
    default: str
    meaning: str


def resolve(
    registry: Registry,
    task_name: str,
    *,
    profile: str = "quick",
    file: Optional[Path] = None,
    overrides: Sequence[str] = (),
    overrides_mapping: Optional[Mapping[str, Any]] = None,
) -> Config:
    """The configuration of a run; later sources win.

    Parameters
    ----------
    registry
        Where names are looked up.
    task_name
        Registered name of the task, whose ``defaults`` are the first source.
    profile
        One of the task's ``profiles``; ``quick`` is always there.
    file
        YAML file of sections.
    overrides_mapping
        The same as a mapping, from Python.
    overrides
        ``key=value`` texts from the command line, in any order.

    Raises
    ------
    ConfigError
        A name, key or value that cannot be; the error says which, from where, and what can.
    PluginError
        A part's source cannot be read, or its signature is not what it must be.
    """
    sources = _authored(registry, task_name, profile)
    if file is not None:
        sources.append(from_mapping(read_yaml(Path(file)), f"file {file}"))
    if overrides_mapping is not None:
        sources.append(from_mapping(overrides_mapping, "Python call"))

    def near(key: str) -> str:
        rows = describe(registry, task_name, profile=profile)
        known = {row.key: f"{row.section}.{row.key}" for row in rows if row.key != "name"}
        return f"Did you mean '{known[key]}'?" if key in known else did_you_mean(key, known)

    sources.append(from_arguments(overrides, near, _names(registry, "callback")))
    return _complete_all(registry, task_name, merge(task_name, sources))


def describe(registry: Registry, task_name: str, *, profile: str = "quick") -> list[Row]:
    """Every option of a task and its parts: type, default with this profile, and meaning."""
    rows = []
    for section, chosen in merge(task_name, _authored(registry, task_name, profile)).items():
        if chosen.name is None:
            continue
        if section not in ("task", "trainer"):
            meaning = _summary(registry, section, chosen.name)
            rows.append(Row(section, "name", section, chosen.name, meaning))
        values, _ = complete(registry, task_name, section, chosen, partial=True)
        if section == "trainer":
            values["callbacks"], _ = complete_callbacks(registry, chosen, partial=True)
        rows += option_rows(section, part_signature(registry, section, chosen.name), values)
    return rows


def describe_part(registry: Registry, kind: str, name: str) -> list[Row]:
    """Every option of one registered part of any kind, or of an optimizer.

    The section of each row is what stands before the option where users write it: ``model``, or
    ``trainer.callbacks.acme.notify``.
    """
    section = f"{CALLBACKS}.{name}" if kind == "callback" else kind
    values, _ = complete(registry, name, kind, Chosen(name), partial=True)
    return option_rows(section, part_signature(registry, kind, name), values)


def kind_of(registry: Registry, name: str) -> str:
    """The kind of part that a name alone means: a task's, the one kind that has it, an optimizer.

    Raises
    ------
    ConfigError
        Parts of several kinds have that name, and no task; or none has it.
    """
    kinds = [entry.kind for entry in registry.entries() if entry.name == name]
    if not kinds and name in OPTIMIZERS:
        return "optimizer"
    if len(kinds) > 1 and "task" not in kinds:
        raise ConfigError(f"'{name}' is a {' and a '.join(kinds)}", f"Add --kind {kinds[0]}.")
    return kinds[0] if len(kinds) == 1 else "task"


def option_rows(section: str, options: Signature, values: Mapping[str, Any]) -> list[Row]:
    """A row for each option of a signature, with its value, or ``required``."""
    rows = []
    for key, option in options.options.items():
        value = plain(values.get(key, "required"))
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        kind = type_text(option.annotation)
        rows.append(Row(section, key, kind, text or "''", option.description))
    return rows


def json_schema(registry: Registry, task_name: str) -> dict[str, Any]:
    """JSON schema (2020-12) of the YAML files that the task takes, for editors."""
    sections: dict[str, Any] = {}
    for section, chosen in merge(task_name, _authored(registry, task_name, "quick")).items():
        if section == "trainer":
            sections[section] = _part_schema(registry, section, "trainer")
            known = _names(registry, "callback")
            each = [_part_schema(registry, "callback", name) for name in known]
            items = {"anyOf": [{"enum": known}, *each]} if known else False
            sections[section]["properties"]["callbacks"]["items"] = items
        elif chosen.name is None:
            sections[section] = {"type": "null"}
        else:
            names = [task_name] if section == "task" else _names(registry, section)
            # Without a name the options are those of the task's own part.
            own = _part_schema(registry, section, chosen.name, named=False)
            others = [_part_schema(registry, section, name) for name in names]
            sections[section] = {"anyOf": [{"enum": names}, own, *others]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Configuration of {task_name}",
        "type": "object",
        "properties": sections,
        "additionalProperties": False,
    }


def _part_schema(
    registry: Registry, section: str, name: str, *, named: bool = True
) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    needed = []
    if section != "trainer":
        properties["name"] = {"const": name}
        needed = ["name"] if named else []
    try:
        options = part_signature(registry, section, name).options
    except PluginError as error:  # one broken part must not take the whole schema down
        loose = {"type": "object", "properties": properties, "required": needed}
        return {**loose, "description": str(error)}
    for key, option in options.items():
        properties[key] = {**type_schema(option.annotation), "description": option.description}
        if option.default is not REQUIRED:
            properties[key]["default"] = plain(option.default)
    return {
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": False,
    }


def _names(registry: Registry, section: str) -> list[str]:
    if section == "optimizer":
        return sorted(OPTIMIZERS)
    return [entry.name for entry in registry.entries(section)]


def _summary(registry: Registry, section: str, name: str) -> str:
    if section in KINDS:
        return registry.get(section, name).summary
    return part_signature(registry, section, name).doc_summary


def _authored(registry: Registry, task: str, profile: str) -> list[Source]:
    """The task's own two sources: its defaults, and the profile."""
    target = registry.get("task", task).target
    profiles = {"quick": {}, **class_attribute(target, "profiles", {})}
    if profile not in profiles:
        raise ConfigError(
            f"task '{task}' has no profile '{profile}'",
            f"{did_you_mean(profile, profiles)} Profiles are {', '.join(profiles)}.".strip(),
        )
    return [
        from_mapping(class_attribute(target, "defaults", {}), "task default", authored=True),
        from_mapping(profiles[profile], f"profile {profile}", authored=True),
    ]


def _complete_all(registry: Registry, task: str, merged: Mapping[str, Chosen]) -> Config:
    sections: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for section, chosen in merged.items():
        sections[section] = None
        if chosen.name is not None:
            sections[section], found = complete(registry, task, section, chosen)
            if section == "trainer":
                sections[section]["callbacks"], own = complete_callbacks(registry, chosen)
                found.update(own)
            origins.update({f"{section}.{key}": origin for key, origin in found.items()})
    TrainerOptions(**sections["trainer"])  # both are light, and know their ranges
    if sections["optimizer"] is not None:
        options = {key: v for key, v in sections["optimizer"].items() if key != "name"}
        module, _, name = OPTIMIZERS[sections["optimizer"]["name"]].partition(":")
        getattr(importlib.import_module(module), name)(**options)
        changes = sections["trainer"]["schedule"] != "constant" or sections["trainer"]["warmup"]
        if changes and "learning_rate" not in options:
            raise ConfigError(
                f"optimizer={sections['optimizer']['name']} has no learning rate to schedule",
                "Leave trainer.schedule and trainer.warmup out, or use another optimizer.",
            )
    return Config(task, sections, origins)
