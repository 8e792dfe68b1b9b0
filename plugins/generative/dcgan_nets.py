"""The two networks of DCGAN: noise to images, and images to scores.

Holds layers and sizes only; how they learn from each other is in ``dcgan.py``.
"""

from __future__ import annotations

from typing import Any, Literal

from dope.core.backend import mx
from dope.core.errors import ConfigError

START = 4  # height and width of the smallest feature maps
SPREAD = 0.02  # standard deviation of the first weights
SLOPE = 0.2  # of the leaky relu below zero

Norm = Literal["batch", "instance", "none"]


def dcgan(
    dataset: Any,
    *,
    latent: int = 100,
    features: int = 64,
    norm: Literal["batch", "instance", "none"] = "batch",
) -> dict[str, Any]:
    """A generator and a discriminator of strided convolutions.

    Parameters
    ----------
    latent
        Numbers of noise that an image is made of.
    features
        Channels of the largest feature maps of both networks; each halving of height and width
        doubles them.
    norm
        Normalize each channel over the ``batch`` (with moving averages where nothing is learned),
        over each ``instance`` alone, or not at all.

    Returns
    -------
    dict
        ``discriminator`` and ``generator``.

    Raises
    ------
    ConfigError
        Images are not square with a power of two from 16 to 256, or a number is out of range.

    Notes
    -----
    Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks" (2016). For images of 64 x 64 the generator's maps are 4, 8,
    16, 32 and 64 pixels wide; smaller images have fewer layers, larger ones more. Weights start
    from a normal distribution of standard deviation 0.02.
    """
    for name, value in (("latent", latent), ("features", features)):
        if value < 1:
            raise ConfigError(f"model.{name} is {value}", "It is at least 1.")
    colours, height, width = dataset.shape
    if height != width or height not in (16, 32, 64, 128, 256):
        raise ConfigError(
            f"images of {height} x {width} do not fit generative.dcgan",
            "It takes 16, 32, 64, 128 or 256 pixels each way: set dataset.size.",
        )
    return {
        "discriminator": Discriminator(colours, height, features, norm),
        "generator": Generator(latent, features, colours, height, norm),
    }


class Generator(mx.gluon.nn.HybridSequential):
    """Noise (n, latent) to images (n, C, H, W) between -1 and 1.

    Transposed convolutions of 4 x 4 that double height and width, with relu between them.

    Parameters
    ----------
    latent, features, colours, side
        Numbers of noise, channels of the last feature map, C, and H = W.
    norm
        As in `dcgan`.
    """

    def __init__(self, latent: int, features: int, colours: int, side: int, norm: Norm) -> None:
        super().__init__()
        self.latent = (latent,)  # shape of one example
        before = features * (side // START // 2)
        self.add(
            Spread(before, START, in_channels=latent, use_bias=False, weight_initializer=start())
        )
        while before > features:
            _normalize(self, before, norm)
            self.add(mx.gluon.nn.Activation("relu"))
            self.add(_up(before // 2, before))
            before //= 2
        _normalize(self, before, norm)
        self.add(mx.gluon.nn.Activation("relu"))
        self.add(_up(colours, before))
        self.add(mx.gluon.nn.Activation("tanh"))


class Discriminator(mx.gluon.nn.HybridSequential):
    """Images (n, C, H, W) to scores (n, 1): logits of being real.

    Convolutions of 4 x 4 that halve height and width, with leaky relu between them. The first is
    not normalized.

    Parameters
    ----------
    colours, side, features
        C, H = W, and channels of the first feature map.
    norm
        As in `dcgan`.
    """

    def __init__(self, colours: int, side: int, features: int, norm: Norm) -> None:
        super().__init__()
        self.add(_down(features, colours), mx.gluon.nn.LeakyReLU(SLOPE))
        side //= 2
        while side > START:
            self.add(_down(2 * features, features))
            features, side = 2 * features, side // 2
            _normalize(self, features, norm)
            self.add(mx.gluon.nn.LeakyReLU(SLOPE))
        self.add(Gather(1, START, in_channels=features, use_bias=False, weight_initializer=start()))


class Spread(mx.gluon.nn.Conv2DTranspose):
    """Gluon's transposed convolution of one pixel, parameters included, as a product of matrices.

    Of one pixel it is nothing else, and the product is more than twice as fast.
    """

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        """Noise (n, inputs) to maps (n, channels, height, width)."""
        _, channels, height, width = self.weight.shape
        return F.reshape(F.dot(x, F.reshape(weight, (0, -1))), (-1, channels, height, width))


class Gather(mx.gluon.nn.Conv2D):
    """Gluon's convolution by one filter as large as the image, as a product of matrices.

    Parameters are Gluon's; the product is ten times as fast.
    """

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        """Maps (n, inputs, height, width) to (n, 1)."""
        return F.FullyConnected(x, F.reshape(weight, (1, -1)), num_hidden=1, no_bias=True)


def start() -> Any:
    """How weights start."""
    return mx.init.Normal(SPREAD)


def _up(channels: int, inputs: int) -> Any:
    """A layer that doubles height and width."""
    given = {"strides": 2, "padding": 1, "use_bias": False, "weight_initializer": start()}
    return mx.gluon.nn.Conv2DTranspose(channels, 4, in_channels=inputs, **given)


def _down(channels: int, inputs: int) -> Any:
    """A layer that halves height and width."""
    given = {"strides": 2, "padding": 1, "use_bias": False, "weight_initializer": start()}
    return mx.gluon.nn.Conv2D(channels, 4, in_channels=inputs, **given)


def _normalize(net: Any, channels: int, norm: Norm) -> None:
    if norm == "batch":
        net.add(mx.gluon.nn.BatchNorm(in_channels=channels))
    elif norm == "instance":
        net.add(mx.gluon.nn.InstanceNorm(in_channels=channels))
