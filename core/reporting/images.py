"""Pictures of a run, as a page holds them: their bytes, size and title.

Holds no choice of pictures. Only PNG: it is what tasks write.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"IEND\xaeB`\x82"


@dataclass(frozen=True)
class Picture:
    """One picture: a data URI, its size in pixels, its title and what to look for in it."""

    source: str
    width: int
    height: int
    title: str
    caption: str = ""
    kind: str = ""

    @property
    def weight(self) -> int:
        """Signs that it takes in a page."""
        return len(self.source)


def picture(path: Path, title: str = "", caption: str = "") -> Optional[Picture]:
    """The picture in a file; None where that is no whole PNG."""
    try:
        held = path.read_bytes()
    except OSError:
        return None
    if not held.startswith(SIGNATURE) or END not in held[-64:] or held[12:16] != b"IHDR":
        return None
    width, height = (int.from_bytes(held[at : at + 4], "big") for at in (16, 20))
    if not 0 < width < 30_000 or not 0 < height < 30_000:
        return None
    source = f"data:image/png;base64,{base64.b64encode(held).decode()}"
    return Picture(source, width, height, title or titled(path.stem), caption, _kind(width, height))


def _kind(width: int, height: int) -> str:
    """How much of a page's width it takes: all, half or a third."""
    if width <= 620:
        return "third" if width <= 480 else "half"
    return "half" if width / height < 1.35 and width < 1000 else ""


def titled(stem: str) -> str:
    """``precision-recall`` and ``forecast-1`` as people write them."""
    words = re.sub(r"[-_]+", " ", stem).strip()
    words = re.sub(r"\b0+(?=\d)", "", words)
    return (words[:1].upper() + words[1:])[:120]
