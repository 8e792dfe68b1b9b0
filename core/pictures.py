"""Image files: those of a folder, and one or many of them read as arrays of pixels.

Holds no data sets: what an image means, and its parts and labels, are the plugins' matter.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Union

import numpy as np

from dope.core.errors import DataError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def image_files(folder: Path) -> list[Path]:
    """Files of a folder whose names end as images' do, by name; hidden ones are left alone."""
    return [
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in SUFFIXES and file.name[0] != "." and file.is_file()
    ]


def read_image(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """An image file as uint8 (C, H, W): resized with antialiasing and cropped at the centre.

    Raises
    ------
    DataError
        There is no such file, or Pillow cannot read it; the message names it.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    try:
        with Image.open(path) as file:
            # JPEG only: decode at a half, a quarter … while that is at least twice what is wanted
            file.draft(None, (2 * max(height, width),) * 2)
            image = _plain(ImageOps.exif_transpose(file), "L" if channels == 1 else "RGB")
        fitted = ImageOps.fit(image, (width, height), method=Image.Resampling.BILINEAR)
    except FileNotFoundError as error:
        raise DataError(f"there is no image {path}", "Mend the path.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder, not an image", "Name one image file.") from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path} cannot be read as an image ({reason})",
            "It should be PNG, JPEG, GIF, BMP, TIFF, WebP or another form that Pillow reads; "
            "replace it or save it again.",
        ) from error
    return np.ascontiguousarray(np.asarray(fitted).reshape(height, width, -1).transpose(2, 0, 1))


def _plain(image: Any, mode: str) -> Any:
    """8 bits a colour, opaque, as L or RGB."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits; Pillow alone would clip them at 255
        image = Image.fromarray(np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        front = image.convert("RGBA")
        image = Image.new("RGBA", front.size, "white")
        image.alpha_composite(front)
    return image.convert(mode)


def read_images(files: Union[Sequence[Any], np.ndarray], shape: tuple[int, int, int]) -> np.ndarray:
    """All images as uint8 (N, C, H, W), decoded in one thread a core.

    On a terminal it says how far it is when it takes longer than two seconds.

    Raises
    ------
    DataError
        One cannot be read; the message names it.
    """
    pixels = np.empty((len(files), *shape), np.uint8)
    begun = shown = time.monotonic()
    with ThreadPoolExecutor(max(1, min(32, os.cpu_count() or 1))) as pool:

        def read(i: int) -> None:
            pixels[i] = read_image(Path(files[i]), shape)

        waiting = [pool.submit(read, i) for i in range(len(files))]
        try:
            for done, future in enumerate(as_completed(waiting), 1):
                future.result()
                now = time.monotonic()
                if sys.stderr.isatty() and now - begun > 2 and now - shown > 0.5:
                    shown = now
                    print(f"\rreading images: {done} of {len(files)}", end="", file=sys.stderr)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            if shown > begun:
                print(file=sys.stderr)
    return pixels
