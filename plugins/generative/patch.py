"""The discriminator of pix2pix: a score for each patch of an image (PatchGAN).

Holds layers only; the generator is in ``unet.py``.
"""

from __future__ import annotations

from dope.core.backend import mx
from dope.plugins.generative.unet import DEEPEST, SLOPE, Norm, halve

nn = mx.gluon.nn


class Patches(mx.gluon.nn.HybridSequential):
    """Pairs of images on top of each other (n, channels, S, S) to scores (n, 1, h, w).

    Each score is a logit of its patch being real. With three layers a patch has 70 x 70 pixels,
    with two 34 x 34, with one 16 x 16; patches overlap.

    Parameters
    ----------
    channels
        Of input and output image together.
    width
        Channels of the first maps; each layer doubles them, up to eightfold.
    layers
        Convolutions that halve height and width.
    norm
        As in `UNet`; the first and the last layer are never normalized.

    Notes
    -----
    Isola et al. (2017), section 6.1.2.
    """

    def __init__(self, channels: int, width: int, layers: int, norm: Norm) -> None:
        super().__init__()
        self.add(halve(channels, width, "none", leaky=False))
        before = width
        for i in range(1, layers + 1):
            after = width * min(2**i, DEEPEST)
            self.add(halve(before, after, norm, strides=2 if i < layers else 1))
            before = after
        self.add(nn.LeakyReLU(SLOPE))
        self.add(
            nn.Conv2D(1, 4, padding=1, in_channels=before, weight_initializer=mx.init.Normal(0.02))
        )


def smallest(layers: int) -> int:
    """Height and width below which no patch is left: each of two last layers takes one away."""
    return 4 * 2**layers
