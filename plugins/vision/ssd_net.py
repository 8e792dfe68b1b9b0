"""The network of a single-shot detector: five feature maps, and what is said of their boxes.

Holds no loss, no matching and no drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, List, Literal, Tuple

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.plugins.vision.anchors import all_boxes, scales

SCALES = 5


class SSD(mx.gluon.HybridBlock):
    """Single-shot detector: classes and offsets of default boxes on five scales.

    A body of blocks gives the first feature map; three more blocks and a pooling over the whole
    map give the others. A block is convolutions 3x3 with batch normalization and relu, then
    pooling that halves height and width.

    Parameters
    ----------
    body
        Channels of each block before the first map.
    stages
        Channels of the three blocks between the maps.
    depth
        Convolutions of a block.
    sizes
        Of each map, sizes of default boxes in shares of the image's height.
    ratios
        Width over height of the boxes of the first size; the other sizes have the first ratio.
    norm
        Normalize each channel over the ``batch`` (with moving averages where nothing is learned),
        or not at all.

    Attributes
    ----------
    anchors : ndarray
        float32, (A, 4): the default boxes.

    Raises
    ------
    ConfigError
        A list has the wrong length, a number is out of range, or the images are too small.

    Notes
    -----
    Images (n, 3, H, W) to scores (n, A, K + 1), background first, and offsets (n, A, 4). With the
    defaults and 256 x 256 pixels: maps of 32, 16, 8, 4 and 1 cells a side, four boxes a cell,
    A = 5,444; with 128 x 128 pixels A = 1,364. Liu et al., "SSD: Single Shot MultiBox Detector"
    (2016), with a small body.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        body: Tuple[int, ...] = (16, 32, 64),
        stages: Tuple[int, ...] = (128, 128, 128),
        depth: int = 2,
        sizes: List[List[float]] = [  # noqa: B006 - never changed
            [0.2, 0.272],
            [0.37, 0.447],
            [0.54, 0.619],
            [0.71, 0.79],
            [0.88, 0.961],
        ],
        ratios: Tuple[float, ...] = (1.0, 2.0, 0.5),
        norm: Literal["batch", "none"] = "batch",
    ) -> None:
        super().__init__()
        colours, height, width = dataset.shape
        _check(body, stages, depth, sizes, ratios)
        maps = scales(height, width, len(body))
        if min(min(each) for each in maps) < 1:
            least = 2 ** (len(body) + 3)
            raise ConfigError(
                f"images of {height} x {width} are too small for vision.ssd",
                f"Both sides have to be at least {least}: set dataset.size.",
            )
        self.anchors = all_boxes(maps, sizes, ratios)
        self.kinds = len(dataset.classes) + 1
        of_map = [len(each) + len(ratios) - 1 for each in sizes]
        channels = [colours, *body, *stages]
        self.blocks = mx.gluon.nn.HybridSequential()
        self.scores = mx.gluon.nn.HybridSequential()
        self.offsets = mx.gluon.nn.HybridSequential()
        for before, after in zip(channels, channels[1:]):
            self.blocks.add(_block(before, after, depth, norm))
        for each, filters in zip(of_map, [body[-1], *stages, stages[-1]]):
            self.scores.add(_convolution(each * self.kinds, filters))
            self.offsets.add(_convolution(each * 4, filters))
        self._first = len(body)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Images (n, C, H, W) to scores (n, A, K + 1) and offsets (n, A, 4)."""
        scores, offsets = [], []
        for i in range(self._first):
            x = self.blocks[i](x)
        for scale in range(SCALES):
            scores.append(_flat(F, self.scores[scale](x)))
            offsets.append(_flat(F, self.offsets[scale](x)))
            if scale < SCALES - 2:
                x = self.blocks[self._first + scale](x)
            elif scale == SCALES - 2:
                x = F.Pooling(x, global_pool=True, pool_type="max", kernel=(1, 1))
        return (
            F.reshape(F.concat(*scores, dim=1), shape=(0, -1, self.kinds)),
            F.reshape(F.concat(*offsets, dim=1), shape=(0, -1, 4)),
        )


def _block(before: int, after: int, depth: int, norm: str) -> Any:
    """Convolutions, then half the height and width.

    Relu keeps the order of values, so the last one can wait until pooling has left a quarter.
    """
    made = mx.gluon.nn.HybridSequential()
    for k in range(depth):
        if k:
            made.add(mx.gluon.nn.Activation("relu"))
        # what normalization subtracts again needs no bias
        made.add(_convolution(after, after if k else before, use_bias=norm == "none"))
        if norm == "batch":
            made.add(mx.gluon.nn.BatchNorm(in_channels=after))
    made.add(mx.gluon.nn.MaxPool2D(2), mx.gluon.nn.Activation("relu"))
    return made


def _convolution(channels: int, before: int, *, use_bias: bool = True) -> Any:
    return mx.gluon.nn.Conv2D(
        channels,
        3,
        padding=1,
        in_channels=before,
        use_bias=use_bias,
        weight_initializer=mx.init.Xavier(magnitude=2),
    )


def _flat(F: Any, x: Any) -> Any:
    """Maps (n, C, H, W) as rows, the channels of one cell side by side: (n, H * W * C)."""
    return F.flatten(F.transpose(x, axes=(0, 2, 3, 1)))


def _check(
    body: Sequence[int],
    stages: Sequence[int],
    depth: int,
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float],
) -> None:
    """Refuse what makes no detector."""
    if len(stages) != SCALES - 2:
        raise ConfigError(f"model.stages has {len(stages)} numbers", f"It has {SCALES - 2}.")
    if len(sizes) != SCALES or not all(sizes):
        raise ConfigError(
            f"model.sizes is {list(sizes)}", f"It has {SCALES} lists, each of one size at least."
        )
    least = {
        "body": body,
        "stages": stages,
        "depth": [depth],
        "sizes": [size for each in sizes for size in each],
        "ratios": ratios,
    }
    for name, values in least.items():
        real = name in ("sizes", "ratios")
        if not values or min(values) < (1e-3 if real else 1):
            raise ConfigError(
                f"model.{name} is out of range", "Each is above 0, and there is one at least."
            )
