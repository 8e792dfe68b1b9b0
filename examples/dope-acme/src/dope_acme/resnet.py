"""A small residual network for images."""

from typing import Tuple

from dope.core.backend import mx
from dope.core.errors import ConfigError

nn = mx.gluon.nn


def convolution(channels, kernel, stride, before):
    """A convolution that keeps the size but for its stride, with weights as by He et al. (2015)."""
    start = mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)
    return nn.Conv2D(
        channels,
        kernel,
        stride,
        kernel // 2,
        in_channels=before,
        use_bias=False,
        weight_initializer=start,
    )


class Residual(mx.gluon.HybridBlock):
    """Two convolutions with batch normalization, added to what comes in.

    Where the size or the number of channels changes, what comes in passes a 1x1 convolution.
    """

    def __init__(self, channels, before, stride) -> None:
        super().__init__()
        self.body = nn.HybridSequential()
        self.body.add(
            convolution(channels, 3, stride, before),
            nn.BatchNorm(in_channels=channels),
            nn.Activation("relu"),
            convolution(channels, 3, 1, channels),
            nn.BatchNorm(in_channels=channels),
        )
        self.shortcut = nn.HybridSequential()
        if stride > 1 or channels != before:
            self.shortcut.add(convolution(channels, 1, stride, before))
            self.shortcut.add(nn.BatchNorm(in_channels=channels))

    def hybrid_forward(self, F, x):
        """Images (n, before, H, W) to (n, channels, H / stride, W / stride)."""
        return F.relu(self.body(x) + self.shortcut(x))


class ResNet(nn.HybridSequential):
    """Residual blocks, the mean over the image, one dense layer.

    Parameters
    ----------
    blocks
        Residual blocks of each stage. From stage to stage the image is halved and the channels
        are doubled.
    channels
        Channels of the first stage.

    Raises
    ------
    ConfigError
        A number is below 1.

    Notes
    -----
    Images (n, C, H, W) of any size to logits (n, K). He et al., "Deep Residual Learning for Image
    Recognition" (2016), section 4.2, with a convolution in the shortcuts. Its ResNet-20 is
    ``blocks=3,3,3``.
    """

    def __init__(self, dataset, *, blocks: Tuple[int, ...] = (1, 1), channels: int = 16) -> None:
        super().__init__()
        if min(blocks, default=0) < 1 or channels < 1:
            raise ConfigError(
                f"model.blocks={list(blocks)}, model.channels={channels} cannot be built",
                "Each is at least 1.",
            )
        self.add(convolution(channels, 3, 1, dataset.shape[0]))
        self.add(nn.BatchNorm(in_channels=channels), nn.Activation("relu"))
        before = channels
        for stage, count in enumerate(blocks):
            for i in range(count):
                stride = 2 if stage and not i else 1
                self.add(Residual(channels << stage, before, stride))
                before = channels << stage
        self.add(nn.GlobalAvgPool2D(), nn.Dense(len(dataset.classes), in_units=before))
