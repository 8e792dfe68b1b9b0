"""Convolution and pooling with channels filled up by zeros, which oneDNN computes faster on CPU.

Holds the two layers; `cnn.py` says where they are used.
"""

from __future__ import annotations

from typing import Any, Literal, Optional

from dope.core.backend import mx

BLOCK = 16  # channels that oneDNN keeps side by side in memory: one register of AVX-512


def filled(channels: int) -> int:
    """The next multiple of `BLOCK`."""
    return -(-channels // BLOCK) * BLOCK


class Conv2D(mx.gluon.nn.Conv2D):
    """Gluon's convolution, parameters included, but it gives ``filled(channels)`` channels.

    oneDNN's fast convolutions want multiples of 16 channels; without them MXNet 1.9.1 unrolls
    images into matrices. So the weights get zeros inside the graph only: the added channels are
    zero, stay so through relu and pooling, and have no gradient. `ReluPool2D` cuts them off.

    Parameters
    ----------
    channels, kernel_size, in_channels, **given
        As in Gluon; without activation or groups, and ``in_channels`` is not left to the data.
    fill_inputs
        The input comes from such a layer, hence has ``filled(in_channels)`` channels.
    """

    def __init__(
        self, channels: int, kernel_size: int, *, in_channels: int, fill_inputs: bool, **given: Any
    ) -> None:
        super().__init__(channels, kernel_size, in_channels=in_channels, **given)
        self._inputs = filled(in_channels) if fill_inputs else in_channels
        self._kwargs["num_filter"] = filled(channels)

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any) -> Any:
        """Images (n, inputs, H, W) to (n, filled(channels), H', W')."""
        outputs, inputs, height, width = self.weight.shape
        more = filled(outputs) - outputs
        # F.pad knows the last two axes only: a row for each output, its inputs one by one.
        weight = F.reshape(weight, (1, 1, outputs, inputs * height * width))
        weight = _pad(F, weight, more, (self._inputs - inputs) * height * width)
        weight = F.reshape(weight, (filled(outputs), self._inputs, height, width))
        bias = _pad(F, F.reshape(bias, (1, 1, 1, outputs)), 0, more)
        return super().hybrid_forward(F, x, weight, F.reshape(bias, (filled(outputs),)))


class ReluPool2D(mx.gluon.HybridBlock):
    """Relu and pooling of windows of 2 x 2.

    Parameters
    ----------
    pool
        Take the largest value (``max``) or the mean (``avg``) of each window.
    keep
        Channels to keep, the first ones; null for all.
    """

    def __init__(self, pool: Literal["max", "avg"], keep: Optional[int] = None) -> None:
        super().__init__()
        self._pool, self._keep = pool, keep

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Images (n, C, H, W) to (n, keep, H // 2, W // 2)."""
        size = {"kernel": (2, 2), "stride": (2, 2)}
        if self._pool == "max":  # relu keeps the order of values, so it can wait: a quarter is left
            x = F.Activation(F.Pooling(x, pool_type="max", **size), act_type="relu")
        else:
            x = F.Pooling(F.Activation(x, act_type="relu"), pool_type="avg", **size)
        return x if self._keep is None else F.slice_axis(x, axis=1, begin=0, end=self._keep)


def _pad(F: Any, x: Any, rows: int, columns: int) -> Any:
    """Zeros below and to the right of (1, 1, m, n)."""
    if rows == columns == 0:
        return x
    return F.pad(x, mode="constant", constant_value=0, pad_width=(0, 0, 0, 0, 0, rows, 0, columns))
