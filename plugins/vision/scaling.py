"""How pixels become a network's inputs, in words and numbers for those who have no dope.

Holds no scaling: it asks a data set's own ``to_input``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

IMAGES = "images, colours, height, width; bytes multiplied and added to as pixels says"


def scaling(to_input: Callable[[np.ndarray], np.ndarray], shape: Sequence[int]) -> dict[str, Any]:
    """What bytes are multiplied with, and what is then added, for each colour.

    Parameters
    ----------
    to_input
        Images uint8 (N, ...) to inputs (N, C, H, W).
    shape
        Of one image, as ``to_input`` takes it.
    """
    black, white = (
        to_input(np.full((1, *shape), value, np.uint8))[0, :, 0, 0].astype(float)
        for value in (0, 255)
    )
    return {"pixels": {"multiply": ((white - black) / 255).tolist(), "add": black.tolist()}}
