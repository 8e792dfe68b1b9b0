"""Bytes as float32 numbers: MXNet's parameter servers add numbers of that type and no other.

Holds the two codes; who sends what to whom is in team.py.
"""

from __future__ import annotations

from typing import Optional

import numpy as np


def to_floats(payload: bytes, level: Optional[float] = None) -> np.ndarray:
    """Whole numbers that float32 holds exactly, and that survive being added to zeros.

    Parameters
    ----------
    payload
        Any bytes.
    level
        The threshold of two-bit compression, which leaves nothing but multiples of itself: each
        bit is then a number of its own. None makes one number of two bytes.

    Returns
    -------
    numpy.ndarray
        float32, of shape (ceil(len / 2),), or (8 len,).
    """
    if level is not None:
        return np.unpackbits(np.frombuffer(payload, np.uint8)).astype(np.float32) * level
    even = payload + b"\0" * (len(payload) % 2)
    return np.frombuffer(even, np.uint16).astype(np.float32)


def to_bytes(floats: np.ndarray, size: int, level: Optional[float] = None) -> bytes:
    """What `to_floats` was given, of which ``size`` is the length."""
    if level is not None:
        return np.packbits(floats > level / 2).tobytes()[:size]
    return floats.astype(np.uint16).tobytes()[:size]


def floats_of(size: int, level: Optional[float] = None) -> int:
    """How many numbers `to_floats` makes of ``size`` bytes."""
    return 8 * size if level is not None else -(-size // 2)
