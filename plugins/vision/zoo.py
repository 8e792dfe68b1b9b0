"""The networks of MXNet's model zoo by name, with a head for the data's own classes.

Holds their choice and where their parameters are published; reading these is in
``finetune_params.py``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, List, Optional, Tuple

from dope.core.backend import mx
from dope.core.downloads import cache_folder, download_packed, matches
from dope.core.errors import ConfigError, DataError, did_you_mean
from dope.core.task import parameters
from dope.plugins.vision.finetune_params import Transferable

MIRRORS = ("https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/models/",)


class Zoo(Transferable):
    """A network of MXNet's model zoo; its output layer is one of the data's classes.

    The last average pooling takes in the whole map, so that images may have any size that the
    other layers allow; at 224 x 224 (inceptionv3: 299 x 299) it is the zoo's own. The dense layers
    of alexnet and vgg fit pretrained parameters at 224 x 224 alone.

    Parameters
    ----------
    network
        One of the zoo: squeezenet1.0 and 1.1, alexnet, vgg11, 13, 16, 19 and the same with _bn,
        resnet18, 34, 50, 101, 152 with _v1 or _v2, densenet121, 161, 169, 201, inceptionv3,
        mobilenet1.0, 0.75, 0.5, 0.25 and mobilenetv2_1.0, 0.75, 0.5, 0.25.
    params
        File of pretrained parameters: of this network in the zoo's form, or a checkpoint of dope,
        or the folder of a run. All but the head are taken from it.
    pretrained
        Take the zoo's own parameters, learned on ImageNet: from the caches of dope or MXNet, or
        fetched into dope's, in any case checked by the SHA-1 that MXNet publishes.
    reuse
        New classes that begin with the weights of old ones, as ``hotdog=713``; or ``all``, where
        the classes are the same as the file's.
    dropout
        Share that dropout drops, where the network has it; default the network's own.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        network: str = "squeezenet1.1",
        params: Optional[Path] = None,
        pretrained: bool = False,
        reuse: Tuple[str, ...] = (),
        dropout: Optional[float] = None,
    ) -> None:
        if pretrained and params is not None:
            raise ConfigError(
                "model.params and model.pretrained=true both say where parameters come from",
                "Give one of them.",
            )
        if dropout is not None and not 0 <= dropout < 1:
            raise ConfigError(f"model.dropout is {dropout}", "It is at least 0 and below 1.")
        if dataset.shape[0] != 3:
            raise ConfigError(
                f"{network} takes images of three colours, these have {dataset.shape[0]}",
                "Set dataset.gray=false, or choose another data set.",
            )
        whole = made(network, len(dataset.classes))
        legacy = {p.name[len(whole.prefix) :]: key for key, p in parameters(whole).items()}
        for part in (whole.features, whole.output):
            _adapt(part, dropout)
        super().__init__(
            dataset,
            whole.features,
            whole.output,
            params=params,
            reuse=reuse,
            legacy=legacy,
            source=(lambda: published(network)) if pretrained else None,
        )


def made(network: str, classes: int) -> Any:
    """A network of the zoo, not yet initialized.

    Raises
    ------
    ConfigError
        The zoo has none of this name.
    """
    vision = mx.gluon.model_zoo.vision
    try:
        return vision.get_model(network, classes=classes)
    except ValueError as error:
        known = names(str(error))
        raise ConfigError(
            f"model.network: MXNet's model zoo has no '{network}'",
            did_you_mean(network, known) or f"It has {', '.join(known)}.",
        ) from error


def names(refusal: str) -> List[str]:
    """The zoo's names, out of what it says to one that it has not."""
    return re.findall(r"^\s+(\S+)$", refusal, re.MULTILINE)


def _adapt(part: Any, dropout: Optional[float]) -> None:
    """Let the last average pooling fit any map, and dropout be as asked."""
    layers = mx.gluon.nn
    for key, child in part._children.items():
        if isinstance(child, layers.AvgPool2D):
            part._children[key] = layers.GlobalAvgPool2D()
        elif isinstance(child, layers.Dropout) and dropout is not None:
            child._rate = dropout


def published(network: str) -> Path:
    """The zoo's file of parameters, from a cache or fetched.

    Raises
    ------
    ConfigError
        The zoo publishes none for this network.
    DataError
        It cannot be fetched.
    """
    sha1 = mx.gluon.model_zoo.model_store._model_sha1.get(network.lower())
    if sha1 is None:
        raise ConfigError(
            f"MXNet publishes no parameters of {network}", "Give a file: model.params=FILE."
        )
    name = f"{network.lower()}-{sha1[:8]}.params"
    own = cache_folder("models") / name
    for path in (own, Path(mx.base.data_dir()) / "models" / name):
        if path.is_file() and matches(path, f"sha1:{sha1}"):
            return path
    try:
        download_packed(MIRRORS, f"sha1:{sha1}", own)
    except DataError as error:
        raise DataError(
            error.message, f"Put {name} into {own.parent} yourself, or give model.params=FILE."
        ) from error
    return own
