"""A small network for small images that learns within seconds: body and head apart.

Holds layers only; how parameters come in from elsewhere is in ``finetune_params.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Optional, Tuple

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.plugins.vision.finetune_params import Transferable


class SmallNet(Transferable):
    """Blocks of a 3 x 3 convolution, batch normalization, pooling and relu; then one dense layer.

    Parameters
    ----------
    channels
        Filters of each block; each block halves height and width.
    dropout
        Share of the body's outputs that is dropped in training.
    norm
        Normalize each channel over the ``batch``, or not at all.
    params
        Pretrained parameters: a gluon file of this network, a checkpoint of dope, or the folder of
        a run. All but the head are taken from it.
    reuse
        New classes that begin with the weights of old ones, as ``ka=3``; or ``all``.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        channels: Tuple[int, ...] = (16, 32, 64, 128),
        dropout: float = 0.5,
        norm: Literal["batch", "none"] = "batch",
        params: Optional[Path] = None,
        reuse: Tuple[str, ...] = (),
    ) -> None:
        if not channels or min(channels) < 1:
            raise ConfigError(f"model.channels is {list(channels)}", "All are at least 1.")
        if not 0 <= dropout < 1:
            raise ConfigError(f"model.dropout is {dropout}", "It is at least 0 and below 1.")
        colours, *sides = dataset.shape
        if min(sides) >> len(channels) < 1:
            raise ConfigError(
                f"images of {sides[0]} x {sides[1]} are too small for {len(channels)} blocks",
                "Each halves them: give fewer model.channels.",
            )
        layers = mx.gluon.nn
        features = layers.HybridSequential()
        for before, after in zip((colours, *channels), channels):
            features.add(_block(before, after, norm))
        features.add(layers.Flatten(), layers.Dropout(dropout))
        head = layers.Dense(len(dataset.classes))
        super().__init__(dataset, features, head, params=params, reuse=reuse)


def _block(before: int, after: int, norm: str) -> Any:
    """Relu keeps the order of values, so it can wait until pooling has left a quarter."""
    layers = mx.gluon.nn
    made = layers.HybridSequential()
    # what normalization subtracts again needs no bias
    made.add(layers.Conv2D(after, 3, padding=1, in_channels=before, use_bias=norm == "none"))
    if norm == "batch":
        made.add(layers.BatchNorm(in_channels=after))
    made.add(layers.MaxPool2D(2), layers.Activation("relu"))
    return made
