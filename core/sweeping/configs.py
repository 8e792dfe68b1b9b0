"""The configurations of a sweep's points, and whether all of them can be.

Runs nothing and writes nothing; the points are made in points.py.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

from dope.core.configuring.config import Config, resolve
from dope.core.configuring.options import part_signature
from dope.core.errors import ConfigError, DopeError
from dope.core.plugging.registry import Registry
from dope.core.sweeping.points import Point, Range, Space, words

SHOWN = 3  # different errors that are said at once


def configs(
    registry: Registry,
    task: str,
    space: Space,
    points: Sequence[Point],
    *,
    profile: str = "quick",
    file: Optional[Path] = None,
) -> list[Config]:
    """The configuration of each point.

    Parameters
    ----------
    registry
        Where names are looked up.
    task
        Name of the task.
    space
        What the points are of.
    points
        Keys and their texts.
    profile
        Of the task.
    file
        YAML file of options; the points win over it.

    Raises
    ------
    DopeError
        Some points cannot be: the errors of all of them at once, each said once.
    """
    found: list[Config] = []
    wrong: dict[str, list[int]] = {}
    errors: list[DopeError] = []
    for number, point in enumerate(points, 1):
        try:
            found.append(
                resolve(registry, task, profile=profile, file=file, overrides=words(point))
            )
        except DopeError as error:
            if str(error) not in wrong:
                errors.append(error)
            wrong.setdefault(str(error), []).append(number)
    if errors:
        raise _together(errors, [len(wrong[str(error)]) for error in errors], len(points))
    _insist_on_brackets(registry, found[0], space)
    _insist_on_one_figure(found)
    return found


def _together(errors: Sequence[DopeError], counts: Sequence[int], of: int) -> DopeError:
    """One error that says them all, and in how many points each is."""
    if len(errors) == 1 and counts[0] == of:
        return errors[0]
    said = [f"{e.message} ({count} of them)" for e, count in zip(errors, counts)][:SHOWN]
    more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
    return ConfigError(
        f"{sum(counts)} of {of} points cannot be: {'; '.join(said)}{more}", errors[0].hint
    )


def _insist_on_brackets(registry: Registry, config: Config, space: Space) -> None:
    """Refuse ``key=10,15`` for an option that is a list: both one list and two may be meant."""
    for axis in space.varied:
        section, dot, option = axis.key.partition(".")
        name = "trainer" if section == "trainer" else config.part(section)
        if not dot or isinstance(axis, Range) or name is None:
            continue
        known = part_signature(registry, section, name).options
        bare = [text for text in axis.texts if not text.startswith("[")]
        if option in known and bare and _is_list(known[option].annotation):
            raise ConfigError(
                f"{axis.key} is a list, and {','.join(axis.texts)} could be one or several",
                f"Write {axis.key}=[{','.join(bare)}] for one, "
                f"{axis.key}={','.join(f'[{text}]' for text in bare)} for several.",
            )


def _is_list(annotation: Any) -> bool:
    arms = typing.get_args(annotation) if typing.get_origin(annotation) is Union else (annotation,)
    arms = tuple(arm for arm in arms if arm is not type(None))
    return bool(arms) and all(typing.get_origin(arm) in (list, tuple) for arm in arms)


def _insist_on_one_figure(found: Sequence[Config]) -> None:
    """Refuse points that would be judged by different figures."""
    for option in ("monitor", "mode"):
        if len({config.options("trainer")[option] for config in found}) > 1:
            raise ConfigError(
                f"trainer.{option} says which point is best, and cannot vary", "Give it one value."
            )
