"""Annotations as files have them: objects, sheets of one image each, and parts of these.

Holds no checks of boxes and no format; these are in ``detection_files.py`` and in each format's
file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Optional, Union

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.vision.detection_images import Sides, Source


class Thing(NamedTuple):
    """One annotated object."""

    what: str  # for messages: "object 2 (dog)"
    label: Optional[str]  # name of its class; None where the annotation names none
    box: Sequence[Any]  # left, top, right, bottom
    flag: int = 0  # or DIFFICULT or CROWD


@dataclass
class Sheet:
    """The annotation of one image.

    Parameters
    ----------
    where
        For messages: the file, and the place in it.
    image
        Its file, or what gives its content.
    things
        The objects on it.
    extent
        Width and height in pixels as annotated; None: the image's own.
    shares
        Whether boxes are in shares of width and height; else in pixels.
    """

    where: str
    image: Union[Path, Callable[[], bytes]]
    things: List[Thing] = field(default_factory=list)
    extent: Optional[Sides] = None
    shares: bool = False

    def source(self) -> Source:
        """The image's file, or its content."""
        return self.image if isinstance(self.image, Path) else self.image()

    @property
    def image_name(self) -> str:
        """What messages call the image."""
        return str(self.image) if isinstance(self.image, Path) else f"{self.where}: the image"


class Annotations(NamedTuple):
    """All that a format knows: names of classes, and sheets by part, "" for undivided ones."""

    classes: List[str]
    parts: Mapping[str, List[Sheet]]
    declared: bool = False  # whether the files list their classes apart from the objects


def numbers(box: Sequence[Any]) -> Optional[list[float]]:
    """Four finite numbers, or None."""
    try:
        found = [float(edge) for edge in box]
    except (TypeError, ValueError):
        return None
    return found if len(found) == 4 and all(math.isfinite(edge) for edge in found) else None


def divided(parts: Mapping[str, list[Sheet]], holdout: float, seed: int) -> dict[str, list[Sheet]]:
    """Parts ``train``, ``valid`` and ``test``; undivided ones lose ``holdout`` to ``valid``.

    Raises
    ------
    ConfigError
        Two parts share an image, or the holdout takes none.
    """
    if "" in parts:
        sheets = parts[""]
        order = np.random.default_rng(seed).permutation(len(sheets))
        held = round(holdout * len(sheets))
        if holdout and not 0 < held < len(sheets):
            raise ConfigError(
                f"dataset.holdout={holdout} of {len(sheets)} annotated images leaves no image for "
                f"{'training' if held else 'validation'}",
                "Use another share, more images, or 0 for no validation part.",
            )
        split = {"train": sorted(order[held:]), "valid": sorted(order[:held])}
        return {part: [sheets[i] for i in rows] for part, rows in split.items() if len(rows)}
    owner: dict[Any, str] = {}
    for part, sheets in parts.items():
        for sheet in sheets:
            if owner.setdefault(sheet.image, part) != part:
                raise ConfigError(
                    f"{sheet.image_name} is in both {owner[sheet.image]} and {part}",
                    "An image of two parts makes the figures too good: take it out of one.",
                )
    return dict(parts)
