"""The generator of pix2pix: an encoder and a decoder with a bridge at every size (U-Net).

Holds layers only; the discriminator is in ``patch.py``, how both learn is in ``pix2pix.py``.
"""

from __future__ import annotations

from typing import Any, Literal

from dope.core.backend import mx

nn = mx.gluon.nn

SLOPE = 0.2  # of the leaky relu below zero
DEEPEST = 8  # no map has more than so many times the width
BLOCK = 16  # channels that oneDNN keeps together, at most
NOISY = 3  # maps of the decoder, the smallest ones, that dropout acts on

Norm = Literal["batch", "instance", "none"]


class UNet(mx.gluon.HybridBlock):
    """Images (n, inputs, S, S) to images (n, outputs, S, S) between -1 and 1.

    Convolutions of 4 x 4 halve height and width until one pixel is left, transposed ones double
    them again. What the decoder makes of each size is put beside what the encoder had there, so
    that edges need not pass through the narrow middle.

    Parameters
    ----------
    inputs, outputs
        Channels of the images.
    size
        S, a power of two.
    width
        Channels of the largest maps; each halving doubles them, up to eightfold.
    dropout
        Share of values that is dropped in the smallest three maps of the decoder, while learning.
    norm
        ``batch``, ``instance`` or ``none``. A map of one pixel is never normalized, nor are the
        first and the last layer.

    Notes
    -----
    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (2017),
    section 6.1.1. For 256 pixels and a width of 64 the encoder is C64-C128-C256-C512-C512-C512-
    C512-C512.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int, width: int, dropout: float, norm: Norm
    ) -> None:
        super().__init__()
        downs = size.bit_length() - 1
        channels = [width * min(2**i, DEEPEST) for i in range(downs)]
        self._join = stacked if width % BLOCK else concatenated
        self.down, self.up = nn.HybridSequential(), nn.HybridSequential()
        for i, (before, after) in enumerate(zip([inputs, *channels], channels)):
            normed = norm if 0 < i < downs - 1 else "none"
            self.down.add(halve(before, after, normed, leaky=i > 0))
        for i in reversed(range(downs)):
            before = channels[i] * (1 if i == downs - 1 else 2)  # its own and the bridge's
            made = nn.HybridSequential()
            made.add(nn.Activation("relu"))
            if i:
                made.add(_double(before, channels[i - 1], use_bias=norm == "none"))
                normalize(made, channels[i - 1], norm)
                if dropout and downs - 1 - i < NOISY:
                    made.add(nn.Dropout(dropout))
            else:
                made.add(_double(before, outputs, use_bias=True))
                made.add(nn.Activation("tanh"))
            self.up.add(made)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Images (n, inputs, S, S) to images (n, outputs, S, S)."""
        bridges = []
        for layer in self.down:
            x = layer(x)
            bridges.append(x)
        bridges.pop()  # the middle has nothing to go around
        for layer in self.up:
            x = layer(x)
            if bridges:
                x = self._join(F, x, bridges.pop())
        return x


def stacked(F: Any, one: Any, other: Any) -> Any:
    """Maps of one shape (n, C, H, W) one upon the other, (n, 2 C, H, W), for any C.

    It is `concat`, which on CPU fails in the backward pass where C is no multiple of the blocks of
    channels that oneDNN keeps together (16 at most): with a wrong sub-memory, or by a division by
    zero that ends the process.
    """
    return F.reshape(F.stack(one, other, axis=1), shape=(0, -3, -2))


def concatenated(F: Any, one: Any, other: Any) -> Any:
    """As `stacked`, a little faster, for C that are multiples of 16."""
    return F.concat(one, other, dim=1)


def halve(inputs: int, channels: int, norm: Norm, *, leaky: bool = True, strides: int = 2) -> Any:
    """Leaky relu if wanted, a convolution of 4 x 4, and its normalization."""
    made = nn.HybridSequential()
    if leaky:
        made.add(nn.LeakyReLU(SLOPE))
    made.add(
        nn.Conv2D(
            channels,
            4,
            strides=strides,
            padding=1,
            in_channels=inputs,
            use_bias=norm == "none",
            weight_initializer=start(),
        )
    )
    normalize(made, channels, norm)
    return made


def normalize(net: Any, channels: int, norm: Norm) -> None:
    """Add a normalization of so many channels, unless it is ``none``."""
    given = {"in_channels": channels, "gamma_initializer": Around(1.0, 0.02)}
    if norm == "batch":
        net.add(nn.BatchNorm(**given))  # momentum 0.9: the share of the old average
    elif norm == "instance":
        net.add(nn.InstanceNorm(scale=True, **given))


def start() -> Any:
    """How weights start."""
    return mx.init.Normal(0.02)


@mx.init.register
class Around(mx.init.Initializer):
    """Normal values around a mean.

    Parameters
    ----------
    mean, sigma
        Mean and standard deviation.
    """

    def __init__(self, mean: float, sigma: float) -> None:
        super().__init__(mean=mean, sigma=sigma)
        self.mean, self.sigma = mean, sigma

    def _init_weight(self, name: Any, array: Any) -> None:
        mx.nd.random.normal(self.mean, self.sigma, shape=array.shape, out=array)

    _init_gamma = _init_weight


def _double(inputs: int, channels: int, *, use_bias: bool) -> Any:
    """A layer that doubles height and width."""
    return nn.Conv2DTranspose(
        channels,
        4,
        strides=2,
        padding=1,
        in_channels=inputs,
        use_bias=use_bias,
        weight_initializer=start(),
    )
