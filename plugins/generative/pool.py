"""A pool of earlier images: the discriminator sees some of them again, lest it forgets.

Holds arrays on the device and a generator of random numbers of its own; no networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dope.core.backend import nd
from dope.core.errors import RunError

KEY = "generator"  # of the state of the random numbers


class ImagePool:
    """Up to ``size`` images that a generator made earlier.

    An image that comes is kept, and returned, as long as there is room. Then a coin is tossed:
    heads, it is returned and forgotten; tails, it takes the place of one that is drawn at random
    from the whole pool, which is returned instead.

    Parameters
    ----------
    size
        Images that are kept; 0 for none, and then images are returned as they come.
    seed
        Of the coin and the places.

    Notes
    -----
    Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial
    Training" (2017), section 2.3. Images stay on the device that they come from, and what becomes
    of each is decided without looking at it: nothing waits for the device.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self.images: list[Any] = []  # each (1, ...)
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def query(self, images: Any) -> Any:
        """Images of now and of earlier, in place of those of now; of the same shape.

        Parameters
        ----------
        images
            (n, ...), of which the pool takes copies.
        """
        if not self.size:
            return images
        returned = []
        for i in range(images.shape[0]):
            image = images[i : i + 1]
            if len(self.images) < self.size:
                self.images.append(image.copy())
            elif self._rng.random() < 0.5:
                place = int(self._rng.integers(self.size))
                old, self.images[place] = self.images[place], image.copy()
                image = old.as_in_context(image.context)
            returned.append(image)
        return nd.concat(*returned, dim=0)

    def state(self) -> dict[str, np.ndarray]:
        """The images, and where the random numbers stand: what `restore` takes."""
        found = {KEY: _packed(self._rng.bit_generator.state)}
        if self.images:
            found["images"] = nd.concat(*self.images, dim=0).asnumpy()
        return found

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Put back what `state` returned.

        Raises
        ------
        RunError
            They are more images than the pool holds.
        """
        if KEY not in arrays:
            return
        images = arrays.get("images", np.empty((0,), np.float32))
        if len(images) > self.size:
            raise RunError(
                f"the checkpoint's pool has {len(images)} images, and task.pool is {self.size}",
                "Go on with the pool that the run was started with.",
            )
        self._rng.bit_generator.state = _unpacked(arrays[KEY])
        self.images = [nd.array(images[i : i + 1], dtype=images.dtype) for i in range(len(images))]


def _packed(state: Mapping[str, Any]) -> np.ndarray:
    """The state of PCG64 in six whole numbers of 64 bits."""
    inner, mask = state["state"], (1 << 64) - 1
    words = [inner["state"] >> 64, inner["state"] & mask, inner["inc"] >> 64, inner["inc"] & mask]
    return np.array([*words, state["has_uint32"], state["uinteger"]], np.uint64)


def _unpacked(words: np.ndarray) -> dict[str, Any]:
    """The inverse of `_packed`."""
    a, b, c, d, kept, value = (int(word) for word in words)
    inner = {"state": a << 64 | b, "inc": c << 64 | d}
    return {"bit_generator": "PCG64", "state": inner, "has_uint32": kept, "uinteger": value}
