"""The small convolutional network, with or without batch normalization.

Holds that model and the arithmetic of image sizes; the dense layers are those of ``mlp.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Optional, Tuple

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.plugins.vision import blocked, scratch
from dope.plugins.vision.mlp import add_dense


class CNN(mx.gluon.nn.HybridSequential):
    """Convolutions with relu and pooling, then one hidden dense layer: LeNet in modern dress.

    Parameters
    ----------
    channels
        Filters of each convolution.
    kernels
        Side of the filters of each convolution, in pixels.
    pool
        Take the largest value (``max``) or the mean (``avg``) of each window of 2 x 2.
    pad
        Surround each image by zeros so that a convolution keeps its size; null does so only for
        images that would vanish without it.
    dense
        Units of the hidden dense layer.
    batch_norm
        Normalize each channel, and each unit of the hidden dense layer, before relu.
    impl
        ``gluon`` layers, or the same from ``scratch`` on primitive operators. Parameters have the
        same names in both.

    Raises
    ------
    ConfigError
        The lists differ in length, a number is below 1, or the images are too small.

    Notes
    -----
    Images (n, C, H, W) to logits (n, K). At 28 x 28 with the defaults: 24, 12, 8 and 4 pixels,
    hence 800 values; at 8 x 8 padding comes in: 8, 4, 4 and 2 pixels. LeCun et al., "Gradient-
    Based Learning Applied to Document Recognition" (1998). Weights start as in `Softmax`. Where
    nothing is normalized, ``gluon`` computes by `blocked` layers: the same numbers, but sooner.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        channels: Tuple[int, ...] = (20, 50),
        kernels: Tuple[int, ...] = (5, 5),
        pool: Literal["max", "avg"] = "max",
        pad: Optional[bool] = None,
        dense: int = 128,
        batch_norm: bool = False,
        impl: Literal["scratch", "gluon"] = "gluon",
    ) -> None:
        super().__init__()
        _check(channels, kernels, dense)
        layers: Any = scratch if impl == "scratch" else mx.gluon.nn
        colours, *sides = dataset.shape
        padded = min(_sides(sides, kernels, False)) < 1 if pad is None else pad
        after = _sides(sides, kernels, padded)
        if min(after) < 1:
            raise ConfigError(
                f"images of {sides[0]} x {sides[1]} are too small for "
                f"model.kernels={list(kernels)}",
                "Use fewer or smaller kernels, or larger images.",
            )
        pooling = layers.MaxPool2D if pool == "max" else layers.AvgPool2D
        for i, (filters, kernel) in enumerate(zip(channels, kernels)):
            given = {
                "in_channels": colours,
                "padding": kernel // 2 if padded else 0,
                "weight_initializer": mx.init.Xavier(magnitude=2.24),
            }
            if batch_norm:
                self.add(layers.Conv2D(filters, kernel, **given))
                self.add(layers.BatchNorm(in_channels=filters), layers.Activation("relu"))
                self.add(pooling(pool_size=2, strides=2))
            elif impl == "gluon":
                last = i == len(channels) - 1
                self.add(blocked.Conv2D(filters, kernel, fill_inputs=i > 0, **given))
                self.add(blocked.ReluPool2D(pool, keep=filters if last else None))
            else:
                self.add(layers.Conv2D(filters, kernel, activation="relu", **given))
                self.add(pooling(pool_size=2, strides=2))
            colours = filters
        values = colours * after[0] * after[1]
        add_dense(self, layers, values, [dense], len(dataset.classes), batch_norm=batch_norm)


def shrunk(side: int, kernel: int, stride: int = 1, pad: int = 0) -> int:
    """Pixels of a side after a convolution or pooling whose windows lie inside; 0 if none does."""
    return max(0, (side + 2 * pad - kernel) // stride + 1)


def _sides(sides: Sequence[int], kernels: Sequence[int], padded: bool) -> list[int]:
    """Height and width after all convolutions and poolings."""
    found = list(sides)
    for kernel in kernels:
        pad = kernel // 2 if padded else 0
        found = [shrunk(shrunk(side, kernel, 1, pad), 2, 2) for side in found]
    return found


def _check(channels: Sequence[int], kernels: Sequence[int], dense: int) -> None:
    if len(channels) != len(kernels):
        raise ConfigError(
            f"model.channels={list(channels)} and model.kernels={list(kernels)} differ in length",
            "Give one kernel for each convolution.",
        )
    for name, values in {"channels": channels, "kernels": kernels, "dense": [dense]}.items():
        if min(values, default=1) < 1:
            raise ConfigError(f"model.{name} is out of range: {min(values)}", "It is at least 1.")
