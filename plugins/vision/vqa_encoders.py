"""What makes features of images and of questions: a small CNN, an LSTM or a bag of words.

Holds no fusion of the two and no answers; those are in vqa_concat.py and bilinear.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dope.core.backend import mx

nn = mx.gluon.nn


class Sight(mx.gluon.HybridBlock):
    """Images (n, C, H, W) to features (n, F): 3 x 3 convolutions, each halving the sides.

    The last maps are laid out in a row, which keeps where things are, and followed by the mean of
    each, which tells what there is wherever it is.

    Parameters
    ----------
    shape
        (C, H, W).
    channels
        Filters of each convolution.
    batch_norm
        Normalize each channel before relu.
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int], batch_norm: bool) -> None:
        super().__init__()
        inputs, height, width = shape
        self.maps = nn.HybridSequential()
        for filters in channels:
            self.maps.add(
                nn.Conv2D(
                    filters, 3, padding=1, in_channels=inputs, use_bias=not batch_norm,
                    weight_initializer=mx.init.Xavier(magnitude=2.24),
                )
            )  # fmt: skip
            if batch_norm:
                self.maps.add(nn.BatchNorm(in_channels=filters))
            self.maps.add(nn.MaxPool2D(2, ceil_mode=True), nn.Activation("relu"))
            inputs, height, width = filters, -(-height // 2), -(-width // 2)
        self.places = height * width
        self.units = inputs * (self.places + 1)

    def hybrid_forward(self, F: Any, images: Any) -> Any:
        """Features of images."""
        maps = self.maps(images)  # (n, channels, H', W')
        # as long as the maps themselves, so that neither drowns the other
        means = F.sum(maps, axis=(2, 3)) / self.places**0.5
        return F.concat(F.flatten(maps), means, dim=1)


class Reading(mx.gluon.HybridBlock):
    """Numbers of words (n, T), 0 for none, to features (n, F).

    Parameters
    ----------
    vocabulary
        Words, with 0.
    kind
        ``lstm``: the last state; ``bag``: the sum of the vectors of words.
    words
        Length of the vectors of words.
    states
        Units of the LSTM.
    """

    def __init__(self, vocabulary: int, kind: str, words: int, states: int) -> None:
        super().__init__()
        self.kind = kind
        self.units = states if kind == "lstm" else words
        self.embedding = nn.Embedding(vocabulary, words, weight_initializer=mx.init.Normal(0.5))
        if kind == "lstm":
            self.recurrent = mx.gluon.rnn.LSTM(
                states, input_size=words,
                i2h_weight_initializer=mx.init.Xavier(), h2h_weight_initializer=mx.init.Xavier(),
            )  # fmt: skip

    def hybrid_forward(self, F: Any, questions: Any) -> Any:
        """Features of questions, which are filled up from the left."""
        vectors = self.embedding(questions)  # (n, T, words)
        if self.kind == "bag":
            known = F.expand_dims(questions > 0, axis=2)
            return F.sum(F.broadcast_mul(vectors, known), axis=1)
        outputs = self.recurrent(F.swapaxes(vectors, 0, 1))  # (T, n, states)
        return F.squeeze(F.slice_axis(outputs, axis=0, begin=-1, end=None), axis=0)


class Given(mx.gluon.HybridBlock):
    """Features (n, F) that come as they are.

    Parameters
    ----------
    units
        F.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def hybrid_forward(self, F: Any, features: Any) -> Any:
        """The same."""
        return F.identity(features)
