"""AlexNet: five convolutions, three overlapping poolings, two hidden dense layers.

Holds that model; enlarging small images to its size is its first layer.
"""

from __future__ import annotations

from typing import Any, Literal, Optional

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.plugins.vision.cnn import shrunk
from dope.plugins.vision.mlp import add_dense

# filters, kernel, stride of each convolution, and whether a 3 x 3 pooling of stride 2 follows
CONVOLUTIONS = (
    (96, 11, 4, True),
    (192, 5, 1, True),
    (384, 3, 1, False),
    (384, 3, 1, False),
    (256, 3, 1, True),
)


class AlexNet(mx.gluon.nn.HybridSequential):
    """AlexNet in one stream, without padding and without local response normalization.

    Parameters
    ----------
    size
        Side in pixels to which images are brought on the device, by bilinear interpolation; at
        least 195. null takes them as they are.
    width
        Factor on the number of filters and of units: 0.25 makes a small, quick network.
    dropout
        Share of the values of the hidden dense layers that is dropped in training.
    init
        ``he`` draws weights with variance 2 / inputs, which keeps the size of the signal through
        many layers of relu; ``xavier`` with 1.5 / (inputs + outputs), with which it fades.

    Raises
    ------
    ConfigError
        Images are too small, or ``width`` or ``dropout`` is out of range.

    Notes
    -----
    Images (n, C, H, W) to logits (n, K). From 224 pixels: 54, 26, 22, 10, 8, 6, 4 and 1.
    Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks" (2012).
    """

    def __init__(
        self,
        dataset: Any,
        *,
        size: Optional[int] = 224,
        width: float = 1.0,
        dropout: float = 0.5,
        init: Literal["he", "xavier"] = "he",
    ) -> None:
        super().__init__()
        if not width > 0:
            raise ConfigError(f"model.width={width} is out of range", "It is above 0.")
        colours, *sides = dataset.shape
        if size is not None and sides != [size, size]:
            self.add(Resize(size))
            sides = [size, size]
        layers, start = mx.gluon.nn, initializer(init)
        for filters, kernel, stride, pooled in CONVOLUTIONS:
            channels = max(1, round(width * filters))
            self.add(
                layers.Conv2D(
                    channels,
                    kernel,
                    stride,
                    activation="relu",
                    in_channels=colours,
                    weight_initializer=start,
                )
            )
            sides, colours = [shrunk(side, kernel, stride) for side in sides], channels
            if pooled:
                self.add(layers.MaxPool2D(pool_size=3, strides=2))
                sides = [shrunk(side, 3, 2) for side in sides]
        if min(sides) < 1:
            raise ConfigError(
                f"images of {dataset.shape[1]} x {dataset.shape[2]} at model.size="
                f"{'null' if size is None else size} are too small for AlexNet",
                "Set model.size=224; it is at least 195.",
            )
        hidden = [max(1, round(width * 4096))] * 2
        values = colours * sides[0] * sides[1]
        add_dense(self, layers, values, hidden, len(dataset.classes), dropout=dropout, init=start)


class Resize(mx.gluon.HybridBlock):
    """Images to ``size`` x ``size`` pixels by bilinear interpolation, corner to corner."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """(n, C, H, W) to (n, C, size, size)."""
        return F.contrib.BilinearResize2D(x, height=self.size, width=self.size)


def initializer(name: str) -> Any:
    """``he`` (He et al., 2015, for relu) or ``xavier`` (Glorot and Bengio, 2010, times 0.75)."""
    if name == "he":
        return mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)
    return mx.init.Xavier(magnitude=2.24)
