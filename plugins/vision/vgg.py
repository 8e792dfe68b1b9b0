"""VGG: blocks of 3 x 3 convolutions, each ended by a pooling that halves the image.

Holds that model; the dense layers are those of ``mlp.py``.
"""

from __future__ import annotations

from typing import Any, Literal, Tuple

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.plugins.vision.alexnet import initializer
from dope.plugins.vision.mlp import add_dense


class VGG(mx.gluon.nn.HybridSequential):
    """A network of repeated blocks of 3 x 3 convolutions, with two hidden dense layers.

    Parameters
    ----------
    blocks
        For each block, the number of its convolutions and their filters.
    dense
        Units of each of the two hidden dense layers.
    dropout
        Share of the values of the hidden dense layers that is dropped in training.
    init
        ``he`` draws weights with variance 2 / inputs, which keeps the size of the signal through
        many layers of relu; ``xavier`` with 1.5 / (inputs + outputs), with which it fades.

    Raises
    ------
    ConfigError
        Images are too small for so many blocks, or a number is out of range.

    Notes
    -----
    Images (n, C, H, W) to logits (n, K). Convolutions are padded and keep the image's size, each
    pooling halves it and drops an odd last row or column: 28 pixels become 14, 7, 3 and 1.
    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
    (2015).
    """

    def __init__(
        self,
        dataset: Any,
        *,
        blocks: Tuple[Tuple[int, int], ...] = ((1, 64), (1, 128), (2, 256), (2, 512)),
        dense: int = 512,
        dropout: float = 0.5,
        init: Literal["he", "xavier"] = "he",
    ) -> None:
        super().__init__()
        smallest = min([dense, *(number for block in blocks for number in block)])
        if smallest < 1:
            raise ConfigError(
                f"model.blocks or model.dense is out of range: {smallest}", "All are at least 1."
            )
        colours, *sides = dataset.shape
        if min(sides) >> len(blocks) < 1:
            most = min(sides).bit_length() - 1
            raise ConfigError(
                f"images of {sides[0]} x {sides[1]} are too small for {len(blocks)} blocks",
                f"Each halves them: give at most {most} in model.blocks.",
            )
        layers, start = mx.gluon.nn, initializer(init)
        for convolutions, filters in blocks:
            for _ in range(convolutions):
                self.add(
                    layers.Conv2D(
                        filters,
                        3,
                        padding=1,
                        activation="relu",
                        in_channels=colours,
                        weight_initializer=start,
                    )
                )
                colours = filters
            self.add(layers.MaxPool2D(pool_size=2, strides=2))
        values = colours * (sides[0] >> len(blocks)) * (sides[1] >> len(blocks))
        add_dense(
            self, layers, values, [dense] * 2, len(dataset.classes), dropout=dropout, init=start
        )
