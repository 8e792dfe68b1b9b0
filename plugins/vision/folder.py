"""A user's own images: a folder, one folder a class in it.

Holds the finding of folders, classes and files; they are read in core/pictures.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np

from dope.core.errors import ConfigError
from dope.core.pictures import SUFFIXES, image_files, read_images
from dope.plugins.vision.images import PARTS, ImageSet, Part, stratified

LAYOUT = "dataset.path is a folder with one folder of images a class: DIR/cats/1.jpg"


class Folder(ImageSet):
    """Your own images: a folder in which each folder is a class, named after it.

    With folders ``train``, and ``valid`` or ``test`` if you like, at the top, which hold the
    folders of the classes, these are the parts. Otherwise ``holdout`` of each class, drawn at
    random, is ``test``. Images are files whose names end in .bmp, .gif, .jpeg, .jpg, .pgm, .png,
    .ppm, .tif, .tiff or .webp, directly in the folder of their class; other files are left alone.
    Each part is read once, when it is asked for, and put in random order.

    Parameters
    ----------
    path
        The folder.
    size
        Height and width in pixels: the short side is resized to it, the centre is cropped.
    gray
        One gray level a pixel instead of red, green and blue.
    holdout
        Share of each class that is held out as ``test``, in [0, 1), rounded; without effect where
        there is a folder ``train``.
    seed
        Seed of the random order, and so of what is held out.
    """

    def __init__(
        self,
        *,
        path: Path,
        size: int = 64,
        gray: bool = False,
        holdout: float = 0.2,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 1 <= size <= 4096:
            raise ConfigError(f"dataset.size is {size}", "It is between 1 and 4096.")
        if not 0 <= holdout < 1:
            raise ConfigError(f"dataset.holdout is {holdout}", "It is at least 0 and below 1.")
        if seed < 0:
            raise ConfigError(f"dataset.seed is {seed}", "It is 0 or more.")
        self.path = Path(path).expanduser()
        self.holdout = holdout
        self.seed = seed
        self.shape = (1 if gray else 3, size, size)
        # those of ImageNet, which suit photographs
        self.mean = (0.449,) if gray else (0.485, 0.456, 0.406)
        self.std = (0.226,) if gray else (0.229, 0.224, 0.225)
        self._folders = part_folders(self.path)
        self.classes = class_names(self._folders)
        if self.valid and "valid" in self._folders:
            raise ConfigError(
                f"dataset.valid is {self.valid}, but {self.path} has a folder valid",
                "Leave dataset.valid out, or move that folder away.",
            )
        self._pixels: dict[str, Optional[Part]] = {}

    def read(self) -> dict[str, Part]:
        """Names of the files in place of pixels; `split` reads the images."""
        listed = {
            part: list_images(folder, self.classes, every=part in ("train", ""))
            for part, folder in self._folders.items()
        }
        if "" not in listed:
            orders = {
                part: np.random.default_rng(self.seed).permutation(len(labels))
                for part, (_, labels) in listed.items()
            }
            return {
                part: (listed[part][0][order], listed[part][1][order])
                for part, order in orders.items()
            }
        files, labels = listed[""]
        kept, held = stratified(labels, self.holdout, self.seed)
        if self.holdout and not len(held):
            raise ConfigError(
                f"dataset.holdout={self.holdout} of {len(files)} images in {self.path} holds none "
                "out",
                "Use a larger share, more images, or 0 for no test part.",
            )
        parts = {"train": (files[kept], labels[kept])}
        return {**parts, "test": (files[held], labels[held])} if len(held) else parts

    def split(self, name: str) -> Optional[Part]:
        if name not in self._pixels:
            part = super().split(name)
            self._pixels[name] = part and (read_images(part[0], self.shape), part[1])
        return self._pixels[name]


def part_folders(path: Path) -> dict[str, Path]:
    """Folder of each part; one under the name ``""`` where there is no folder ``train``.

    Raises
    ------
    ConfigError
        There is no such folder.
    """
    if not path.is_dir():
        raise ConfigError(f"there is no folder {path}", f"{LAYOUT}.")
    found = {name: path / name for name in PARTS if _subfolders(path / name)}
    if "train" in found:
        return found
    return {"": path}


def class_names(folders: dict[str, Path]) -> list[str]:
    """Names of the classes: those for training, in alphabetical order.

    Raises
    ------
    ConfigError
        There are fewer than two, or another part has one that training has not.
    """
    first = next(iter(folders.values()))
    names = _subfolders(first)
    if len(names) < 2:
        raise ConfigError(
            f"{first} has {'one folder' if names else 'no folders'}, so "
            f"{'one class only' if names else 'no classes'}",
            f"{LAYOUT}, two classes or more.",
        )
    for folder in folders.values():
        new = sorted(set(_subfolders(folder)) - set(names))
        if new:
            raise ConfigError(
                f"{folder} has the class {new[0]}, which {first} has not",
                "Give it training images, or move its folder away.",
            )
    return names


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")


def list_images(folder: Path, classes: list[str], *, every: bool) -> tuple[np.ndarray, np.ndarray]:
    """Image files (N,) and their labels int32 (N,), by class, then by name.

    Raises
    ------
    ConfigError
        A class's folder, which must be there if ``every``, has no images; or none has any.
    """
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        inside = folder / name
        found = [str(file) for file in (image_files(inside) if inside.is_dir() else [])]
        if not found and (every or inside.is_dir()):
            raise ConfigError(
                f"{inside} has no images",
                f"Put some in, or remove it; their names end in {', '.join(SUFFIXES)}.",
            )
        files += found
        labels += [label] * len(found)
    return np.array(files, dtype=str), np.array(labels, dtype=np.int32)
