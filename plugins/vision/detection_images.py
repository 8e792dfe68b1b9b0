"""Image files and bytes at the size of a data set with boxes: stretched, never cut.

Holds one image, and many read side by side; what lies in them is the data sets' matter.
"""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Optional, Tuple, Union

import numpy as np

from dope.core.errors import DataError

Source = Union[Path, bytes]
Sides = Tuple[int, int]  # width and height in pixels

LOST = "Put it there, or mend the path in the annotation."
REMEDY = "Replace it or save it again."
MISSING, DAMAGED, OTHER = "missing images", "damaged images", "images of another size"


class SceneError(DataError):
    """An image that cannot be had; ``reason`` is one of `MISSING`, `DAMAGED` and `OTHER`."""

    def __init__(self, message: str, hint: str, reason: str) -> None:
        super().__init__(message, hint)
        self.reason = reason


def read_scene(
    source: Source, size: int, expected: Optional[Sides] = None, name: str = ""
) -> np.ndarray:
    """An image stretched to a square, with antialiasing: uint8, (size, size, 3).

    It is turned as its EXIF tag says, unless ``expected`` fits only without that. White comes in
    behind what is transparent.

    Parameters
    ----------
    source
        A file, or its content.
    size
        Height and width in pixels.
    expected
        Width and height that the annotation names.
    name
        What messages call it; default the file.

    Raises
    ------
    SceneError
        There is no such file, it is damaged, or it is of another size than expected.
    """
    from PIL import Image, ImageOps

    name = name or str(source if isinstance(source, Path) else "the image")
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            raw = file.size
            # JPEG only: decode at a half, a quarter … while that is at least twice what is wanted
            file.draft(None, (2 * size, 2 * size))
            turned = seen(raw, file.getexif().get(0x0112, 1))
            image = opaque(ImageOps.exif_transpose(file) if fits(turned, expected) else file)
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    except FileNotFoundError as error:
        raise SceneError(f"there is no image {name}", LOST, MISSING) from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        raise unreadable(name, error) from error
    if not fits(turned, expected) and not fits(raw, expected):
        raise SceneError(
            f"{name} has {raw[0]}x{raw[1]} pixels, its annotation says "
            f"{expected and expected[0]}x{expected and expected[1]}",
            "Mend the annotation, or replace the image by the one that was annotated.",
            OTHER,
        )
    return np.asarray(image)


def sides(source: Source, name: str = "") -> Sides:
    """Width and height of an image as it is seen; only its head is read.

    Raises
    ------
    SceneError
        As `read_scene`.
    """
    from PIL import Image

    name = name or str(source if isinstance(source, Path) else "the image")
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            return seen(file.size, file.getexif().get(0x0112, 1))
    except FileNotFoundError as error:
        raise SceneError(f"there is no image {name}", LOST, MISSING) from error
    except Exception as error:
        raise unreadable(name, error) from error


def fits(found: Sides, expected: Optional[Sides]) -> bool:
    """Whether an image has the size that is expected of it, if any is."""
    return expected is None or tuple(found) == tuple(expected)


def seen(raw: Sides, orientation: int) -> Sides:
    """Width and height after the turn that an EXIF orientation (1 to 8) asks for."""
    return (raw[1], raw[0]) if orientation in (5, 6, 7, 8) else (raw[0], raw[1])


def opaque(image: Any) -> Any:
    """8 bits a colour, red, green and blue, white behind what is transparent."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits; Pillow alone would clip them at 255
        image = Image.fromarray(np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        front = image.convert("RGBA")
        image = Image.new("RGBA", front.size, "white")
        image.alpha_composite(front)
    return image.convert("RGB")


def unreadable(name: str, error: Exception) -> SceneError:
    """What is said of a damaged image."""
    # Pillow names the file again, or the object in memory that it reads from
    reason = " ".join(str(error).split()).replace(repr(name), "").partition("<_io")[0].rstrip()
    reason = reason or type(error).__name__
    return SceneError(f"{name} cannot be read as an image ({reason})", REMEDY, DAMAGED)


def failures(count: int, read: Callable[[int], None]) -> list[Optional[SceneError]]:
    """Call ``read(i)`` for each i below ``count``, one thread a core: what failed, else None."""

    def one(i: int) -> Optional[SceneError]:
        try:
            read(i)
        except SceneError as error:
            return error
        return None

    with ThreadPoolExecutor(max(1, min(32, os.cpu_count() or 1))) as pool:
        return list(pool.map(one, range(count)))
