"""Standard normal numbers for one step of learning, drawn ahead in another thread.

Holds drawing only; which weights or outputs they are for is the task's matter.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Optional

import numpy as np


def normal(seed: int, size: int) -> np.ndarray:
    """Standard normal numbers, float32 (size,)."""
    # One call that leaves Python alone: many short ones would make both threads wait
    return np.random.Generator(np.random.SFC64(seed)).standard_normal(size, dtype=np.float32)


class Noise:
    """Standard normal numbers that follow from NumPy's global generator, as it stands at the call.

    While a step computes, another thread draws what the next one will ask for, if nobody seeds
    or uses the generator in between; where somebody has, the numbers are drawn when asked for. So
    they never depend on the thread.
    """

    def __init__(self) -> None:
        self._thread: Optional[ThreadPoolExecutor] = None
        self._ahead: Optional[tuple[int, int, Future[np.ndarray]]] = None

    def draw(self, size: int) -> np.ndarray:
        """The next numbers, float32 (size,)."""
        seed = _seed(np.random)
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[:2] == (seed, size):
            found = ahead[2].result()
        else:
            found = normal(seed, size)
        self._begin(size)
        return found

    def _begin(self, size: int) -> None:
        """Draw what follows if the generator is left alone until then."""
        if self._thread is None:
            self._thread, self._copy = ThreadPoolExecutor(1), np.random.RandomState(0)
        self._copy.set_state(np.random.get_state())
        seed = _seed(self._copy)
        self._ahead = seed, size, self._thread.submit(normal, seed, size)


def _seed(generator: Any) -> int:
    return int(generator.randint(1 << 31)) << 31 | int(generator.randint(1 << 31))
