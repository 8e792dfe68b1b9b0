"""Sets of annotated image files: which objects and images are refused, which parts there are.

Holds what all formats share; each format reads its own annotations: COCO, VOC, RecordIO.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, List, Literal, NamedTuple, Optional

import numpy as np

from dope.core.errors import ConfigError, DataError, did_you_mean
from dope.plugins.vision import boxes
from dope.plugins.vision.detection_data import CROWD, DetectionSet, Scenes
from dope.plugins.vision.detection_images import (
    MISSING,
    SceneError,
    failures,
    read_scene,
    sides,
)
from dope.plugins.vision.detection_sheets import Annotations, Sheet, Thing, divided, numbers

SAMPLES = 20  # of what was left out that are kept with their reason
PIXEL = 1.0  # pixels that a box may reach over the edge: rounding, not a mistake; it is cut off
SHARE = 0.01  # the same in shares, where the pixels of the image are not known
LEAVE = "Or leave such out and count them: dataset.on_error=skip."
NO_BOX, NO_AREA = "objects with a broken box", "objects without area"
OUTSIDE, UNKNOWN = "objects outside their image", "objects of an unknown class"
BARE = "images with no object left"
OTHER = "objects of classes not asked for"


class Checked(NamedTuple):
    """Classes, and for each part the sheets that hold and their objects (m, 6)."""

    classes: list[str]
    parts: dict[str, tuple[list[Sheet], list[np.ndarray]]]


class DetectionFiles(DetectionSet):
    """Your own images with boxes; a subclass overrides `annotated`.

    What is wrong with an annotation or an image stops the run and is named, or is left out and
    counted: a box that reaches out of its image by more than a pixel, or has no area, an unknown
    class, a missing or damaged image, one of another size than its annotation says. An image of
    which all objects are left out is left out too; one that never had any stays.

    Parameters
    ----------
    path
        Where the annotations are.
    classes
        Names of the classes to learn, in the order of labels; default all that the training
        annotations know. Of COCO's, which lists its classes, objects of others are left out and
        counted; elsewhere another class is one that is wrong.
    on_error
        ``stop`` at what is wrong, or ``skip`` it and count.
    holdout
        Share of the images, drawn at random, that becomes ``valid`` where the files have but one
        part, in [0, 1).
    seed
        Of that draw.
    train
        Use only the first so many training images; default all.
    valid
        Use only the first so many of the images held out for validation; default all.
    """

    layout = ""

    def __init__(
        self,
        *,
        path: Path,
        classes: Optional[List[str]] = None,
        on_error: Literal["stop", "skip"] = "stop",
        holdout: float = 0.2,
        seed: int = 0,
        train: Optional[int] = None,
        valid: Optional[int] = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if on_error not in ("stop", "skip"):
            raise ConfigError(f"dataset.on_error is '{on_error}'", "It is stop or skip.")
        if not 0 <= holdout < 1:
            raise ConfigError(f"dataset.holdout is {holdout}", "It is at least 0 and below 1.")
        if seed < 0:
            raise ConfigError(f"dataset.seed is {seed}", "It is 0 or more.")
        for name, value in (("train", train), ("valid", valid)):
            if value is not None and value < 1:
                raise ConfigError(f"dataset.{name} is {value}", "It is 1 or more, or left out.")
        if classes is not None and (not classes or len(set(classes)) < len(classes)):
            raise ConfigError(
                f"dataset.classes is {classes}", "It has a name or more, each of them once."
            )
        self.path = Path(path).expanduser()
        self.wanted, self.on_error = classes, on_error
        self.holdout, self.seed = holdout, seed
        self.limits = {"train": train, "valid": valid}
        self._checked: Optional[Checked] = None

    def annotated(self) -> Annotations:
        """Classes and annotations, as the files have them."""
        raise NotImplementedError

    @property
    def classes(self) -> list[str]:  # type: ignore[override]
        """Names of the classes; the annotations are read at the first call."""
        return self.checked().classes

    @property
    def most(self) -> int:  # type: ignore[override]
        """The most objects that an image has, crowds apart."""
        every = [found for _, listed in self.checked().parts.values() for found in listed]
        return max([1, *(int((found[:, 5] != CROWD).sum()) for found in every)])

    def checked(self) -> Checked:
        """All annotations, with what is wrong in them refused or left out.

        Raises
        ------
        ConfigError
            Files are missing, or no image or object is left to learn from.
        DataError
            Something is wrong and ``on_error`` is ``stop``.
        """
        if self._checked is None:
            found = self.annotated()
            names = self.wanted or found.classes
            for name in self.wanted or ():
                if found.declared and name not in found.classes:
                    raise ConfigError(
                        f"dataset.classes: '{name}' is no class of {self.path}",
                        did_you_mean(name, found.classes)
                        or f"Its classes are {', '.join(found.classes[:30])}.",
                    )
            others = set(found.classes) - set(names) if found.declared else set()
            parts = {
                part: self._check(sheets[: self.limits.get(part)], names, others)
                for part, sheets in divided(found.parts, self.holdout, self.seed).items()
            }
            self._refuse_empty(parts)
            self._checked = Checked(list(names), parts)
        return self._checked

    def scenes(self, split: str) -> Optional[Scenes]:
        """One part; the first call reads all, so that no run stops at an image when it has learned.

        Raises
        ------
        ConfigError, DataError
            As `checked`, and for images that cannot be read.
        """
        for part in self.checked().parts:
            if part != split:
                super().scenes(part)
        return super().scenes(split)

    def read(self, part: str) -> Optional[Scenes]:
        """The images of one part, decoded, with their objects."""
        sheets, objects = self.checked().parts.get(part, ([], []))
        if not sheets:
            return None

        self._refuse_too_many(len(sheets))
        pixels = np.empty((len(sheets), self.size, self.size, 3), np.uint8)

        def one(i: int) -> None:
            sheet = sheets[i]
            pixels[i] = read_scene(sheet.source(), self.size, sheet.extent, sheet.image_name)

        kept: list[int] = []
        for i, error in enumerate(failures(len(sheets), one)):
            if error is not None:
                self._fault(error.reason, error.message, error.hint)
                continue
            if len(kept) < i:  # close the gap in place: a copy of all would double the memory
                pixels[len(kept)] = pixels[i]
            kept.append(i)
        if not kept:
            raise ConfigError(f"{self.path}: no image of the part {part} can be read", self.layout)
        return Scenes(pixels[: len(kept)], [objects[i] for i in kept])

    def _fault(self, reason: str, message: str, remedy: str = "") -> None:
        """Stop at something wrong, or count it."""
        if self.on_error == "stop":
            raise DataError(message, f"{remedy or 'Mend it.'} {LEAVE}")
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        if len(self.skips) < SAMPLES:
            self.skips.append(message)

    def _check(
        self, sheets: list[Sheet], names: Sequence[str], others: set[str]
    ) -> tuple[list[Sheet], list[np.ndarray]]:
        """Sheets whose image is there, with those objects that hold."""
        place = {name: k for k, name in enumerate(names)}
        kept, objects = [], []
        for sheet in sheets:
            try:
                if isinstance(sheet.image, Path) and not sheet.image.is_file():
                    raise SceneError(f"{sheet.where}: there is no image {sheet.image}", "", MISSING)
                if sheet.extent is None and not sheet.shares:
                    sheet.extent = sides(sheet.source(), sheet.image_name)
            except SceneError as error:
                self._fault(error.reason, error.message, error.hint)
                continue
            asked = [thing for thing in sheet.things if thing.label not in others]
            if len(asked) < len(sheet.things):
                more = len(sheet.things) - len(asked)
                self.skipped[OTHER] = self.skipped.get(OTHER, 0) + more
            found = [self._row(sheet, thing, place) for thing in asked]
            rows = [row for row in found if row is not None]
            if found and not rows:
                self.skipped[BARE] = self.skipped.get(BARE, 0) + 1
                continue
            kept.append(sheet)
            objects.append(np.array(rows, np.float32).reshape(-1, 6))
        return kept, objects

    def _row(self, sheet: Sheet, thing: Thing, place: Mapping[str, int]) -> Optional[list[float]]:
        """One object as class, box in shares and flag; None where it is left out."""
        where = f"{sheet.where}, {thing.what}"
        if thing.label not in place:
            named = "names no class" if thing.label is None else f"class '{thing.label}' is unknown"
            known = did_you_mean(thing.label or "", place) or (
                f"Known are {', '.join(list(place)[:20])}."
            )
            self._fault(UNKNOWN, f"{where}: {named}", known)
            return None
        width, height = (1, 1) if sheet.shares else (sheet.extent or (1, 1))
        slack = SHARE if sheet.shares else PIXEL
        box = numbers(thing.box)
        if box is None:
            self._fault(NO_BOX, f"{where}: its box {list(thing.box)} is not four numbers")
            return None
        left, top, right, bottom = box
        shown = f"box ({', '.join(f'{edge:g}' for edge in box)})"
        if right <= left or bottom <= top:
            self._fault(NO_AREA, f"{where}: its {shown} has no area")
            return None
        if min(left, top) < -slack or right > width + slack or bottom > height + slack:
            of = "" if sheet.shares else f", {width}x{height} pixels"
            self._fault(OUTSIDE, f"{where}: its {shown} reaches out of the image{of}")
            return None
        inner = boxes.clip(np.array(box), width, height)
        if boxes.area(inner) <= 0:
            self._fault(NO_AREA, f"{where}: its {shown} has no area in the image")
            return None
        shares = inner / np.array([width, height, width, height], np.float64)
        return [float(place[thing.label or ""]), *shares.tolist(), float(thing.flag)]

    def _refuse_too_many(self, count: int) -> None:
        """Refuse what memory cannot hold before hours of decoding end in it."""
        needed = count * self.size * self.size * 3
        try:
            there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (ValueError, OSError, AttributeError):  # not every system tells
            return
        if needed > 0.8 * there:
            raise ConfigError(
                f"{self.path}: {count} images of {self.size}x{self.size} take "
                f"{needed / 2**30:.1f} GB, this machine has {there / 2**30:.1f} GB of memory",
                "Use fewer (dataset.train, dataset.valid) or smaller ones (dataset.size).",
            )

    def _refuse_empty(self, parts: Mapping[str, tuple[list[Sheet], list[np.ndarray]]]) -> None:
        for part, (sheets, _) in parts.items():
            if not sheets:
                raise ConfigError(
                    f"{self.path}: no image is left in the part {part or 'train'}"
                    + (f" ({self.skip_note()})" if self.skipped else ""),
                    self.layout,
                )
        if "train" not in parts or not any(len(found) for found in parts["train"][1]):
            raise ConfigError(f"{self.path} has no object to learn from", self.layout)
