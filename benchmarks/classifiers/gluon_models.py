"""The models of the cases in Gluon, for the loops that are written by hand.

Holds neither data nor loops. dope's own models are not used here: these are what it is judged by.
"""

from __future__ import annotations

from typing import Any


def make(nn: Any, model: str, sequential: Any) -> Any:
    """The network of a case; ``sequential`` is the container class, hybrid or not."""
    net = sequential()
    for layer in {"mlp": _mlp, "lenet": _lenet, "vgg": _vgg}[model](nn):
        net.add(layer)
    return net


def _mlp(nn: Any) -> list[Any]:
    return [nn.Dense(256, activation="relu"), nn.Dense(256, activation="relu"), nn.Dense(10)]


def _lenet(nn: Any) -> list[Any]:
    return [
        nn.Conv2D(20, 5, activation="relu"),
        nn.MaxPool2D(2, 2),
        nn.Conv2D(50, 5, activation="relu"),
        nn.MaxPool2D(2, 2),
        nn.Flatten(),
        nn.Dense(128, activation="relu"),
        nn.Dense(10),
    ]


def _vgg(nn: Any) -> list[Any]:
    layers = []
    for convolutions, channels in ((1, 16), (1, 32), (2, 64), (2, 128)):
        for _ in range(convolutions):
            layers.append(nn.Conv2D(channels, 3, padding=1, activation="relu"))
        layers.append(nn.MaxPool2D(2, 2))
    layers.append(nn.Flatten())
    for _ in range(2):
        layers += [nn.Dense(128, activation="relu"), nn.Dropout(0.5)]
    return [*layers, nn.Dense(10)]


def count(net: Any) -> int:
    """Number of learned numbers."""
    return sum(p.data().size for p in net.collect_params().values() if p.grad_req != "null")
