"""Parameters from elsewhere: reading their file, and putting them into a network of two parts.

Holds no networks; those of MXNet's model zoo are in ``zoo.py``, a small one in ``finetune_net.py``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

import numpy as np

from dope.core.backend import mx, nd
from dope.core.errors import ConfigError, DataError, RunError, did_you_mean
from dope.core.task import parameters
from dope.core.training import checkpoint

ALL = "all"
NET = "parameter/net."  # before the names of a network's parameters in dope's checkpoints


class Transferable(mx.gluon.HybridBlock):
    """A network in two parts: ``features``, its body, and ``output``, its head.

    Parameters
    ----------
    dataset
        It has ``shape`` and ``classes``.
    features, output
        The two parts.
    params
        Where parameters of the body come from; None if from nowhere.
    reuse
        As `rows_of` takes them.
    legacy
        Names in older files of parameters to names in the structure.
    source
        Finds the file, where ``params`` is not given.

    Raises
    ------
    ConfigError
        Images are too small for the network, or a class to be reused is none of the data's.
    """

    def __init__(
        self,
        dataset: Any,
        features: Any,
        output: Any,
        *,
        params: Optional[Path] = None,
        reuse: Sequence[str] = (),
        legacy: Optional[Mapping[str, str]] = None,
        source: Optional[Callable[[], Path]] = None,
    ) -> None:
        super().__init__()
        self.features, self.output = features, output
        self.classes = list(dataset.classes)
        self.reuse = rows_of(reuse, self.classes)
        self._legacy = dict(legacy or {})
        self._source = source if params is None else (lambda: Path(params).expanduser())
        if self.reuse and self._source is None:
            raise ConfigError(
                "model.reuse takes weights of old classes, but no parameters are given",
                "Give model.params=FILE too.",
            )
        for name, parameter in parameters(self).items():
            if name.endswith("weight"):
                parameter.init = mx.init.Xavier("gaussian", "in", 2)
        _know_shapes(self, dataset.shape)

    @property
    def pretrained(self) -> bool:
        """Whether its parameters come from elsewhere."""
        return self._source is not None

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Images (n, C, H, W) to logits (n, K)."""
        return self.output(self.features(x))

    def start(self) -> None:
        """Take the parameters over from where they are, on all contexts.

        Raises
        ------
        ConfigError
            There is no such file, or its parameters are not this network's.
        DataError
            The file is damaged, or cannot be fetched.
        """
        if self._source is None:
            return
        path = self._source()
        given = structural(read_parameters(path), self._legacy)
        known = parameters(self)
        check_fit(path, given, {k: p.shape for k, p in known.items()})
        for name, parameter in known.items():
            if name.startswith("features."):
                parameter.set_data(nd.array(given[name], dtype=parameter.dtype))
            elif self.reuse:
                value = parameter.data(parameter.list_ctx()[0]).asnumpy()
                value = reused(path, name, value, given.get(name), self.reuse)
                parameter.set_data(nd.array(value, dtype=parameter.dtype))


def _know_shapes(net: Any, shape: Tuple[int, ...]) -> None:
    """Work out the shape of each parameter, so that none is left to the first batch."""
    try:
        net.infer_shape(nd.zeros((1, *shape)))
    except (mx.base.MXNetError, ValueError) as error:
        raise ConfigError(
            f"images of {' x '.join(map(str, shape[1:]))} are too small for this network, or of "
            "another number of colours",
            "Set dataset.size.",
        ) from error
    net.hybridize(False)  # forgets the graph that was made for it


def rows_of(reuse: Sequence[str], classes: Sequence[str]) -> List[Tuple[int, int]]:
    """Pairs of a new class and an old one, from texts such as ``hotdog=713``, or ``all``.

    Raises
    ------
    ConfigError
        A text is no such pair, or names no class.
    """
    if list(reuse) == [ALL]:
        return [(k, k) for k in range(len(classes))]
    found = []
    for text in reuse:
        name, equals, number = (part.strip() for part in text.rpartition("="))
        if not equals or not number.isdecimal():
            raise ConfigError(
                f"model.reuse: '{text}' is not CLASS=NUMBER",
                "Give the name of a class and the number of an old one, from 0: hotdog=713.",
            )
        if name not in classes:
            raise ConfigError(
                f"model.reuse: '{name}' is no class of the data set",
                did_you_mean(name, classes) or f"Its classes are {', '.join(classes[:20])}.",
            )
        found.append((list(classes).index(name), int(number)))
    return found


def read_parameters(path: Path) -> dict[str, np.ndarray]:
    """Name to array of a gluon ``.params`` file, of a checkpoint of dope, or of a run's folder.

    Of a folder it is the best checkpoint, or the newest one where there is no best.

    Raises
    ------
    ConfigError
        There is no such file.
    DataError
        It is damaged, or something else.
    """
    if not path.exists():
        raise ConfigError(f"model.params: there is no {path}", "Mend the path.")
    again = "It should be a .params file of gluon, a checkpoint of dope, or a run's folder."
    if path.is_dir():
        path = _in_folder(path, again)
    try:
        if path.suffix in (".npz", ".json") and path.with_suffix(".json").is_file():
            found = checkpoint.load(path).arrays
            named = {key[len(NET) :]: a for key, a in found.items() if key.startswith(NET)}
        else:
            loaded = nd.load(str(path))
            if not isinstance(loaded, dict):
                raise ValueError("its arrays have no names")
            named = {key.partition(":")[2] or key: a.asnumpy() for key, a in loaded.items()}
    except (mx.base.MXNetError, RunError, OSError, ValueError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else ""
        raise DataError(f"{path} cannot be read as parameters ({reason})", again) from error
    if not named:
        raise DataError(f"{path} holds no parameters of a network", again)
    return named


def _in_folder(folder: Path, hint: str) -> Path:
    inside = folder / "checkpoints" if (folder / "checkpoints").is_dir() else folder
    names = sorted(p for p in inside.glob("*.json") if p.with_suffix(".npz").is_file())
    best = [p for p in names if p.stem == "best"]
    if not names:
        raise ConfigError(f"model.params: {folder} has no checkpoint", hint)
    return (best or names)[-1]


def structural(given: Mapping[str, np.ndarray], legacy: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The same under names of the structure, ``features.0.weight`` for ``conv0_weight``.

    Files of older versions of gluon name parameters by the kind and number of their layer, some
    with the name of the whole network before it.
    """
    if any("." in name for name in given):
        return dict(given)
    made = {}
    for name, array in given.items():
        short = name if name in legacy else name.partition("_")[2]
        made[legacy.get(short, name)] = array
    return made


def check_fit(
    path: Path, given: Mapping[str, np.ndarray], known: Mapping[str, Tuple[int, ...]]
) -> None:
    """Insist that a file has all parameters of a body, in their shapes, and nothing else.

    Raises
    ------
    ConfigError
        It says what is missing, too much, or of another shape.
    """
    body = {name: shape for name, shape in known.items() if name.startswith("features.")}
    absent = [name for name in body if name not in given]
    more = [name for name in given if name not in known and not name.startswith("output.")]
    other = [
        f"'{name}' has shape {given[name].shape}, the network's {shape}"
        for name, shape in body.items()
        if name in given and tuple(given[name].shape) != tuple(shape)
    ]
    parts = [
        f"it lacks '{absent[0]}'{_others(absent)}" if absent else "",
        f"the network has no '{more[0]}'{_others(more)}" if more else "",
        f"{other[0]}{_others(other)}" if other else "",
    ]
    if any(parts):
        raise ConfigError(
            f"{path} does not fit the model: {'; '.join(part for part in parts if part)}",
            "It is of another network, or of another size of images: see model.network and "
            "dataset.size.",
        )


def reused(
    path: Path,
    name: str,
    value: np.ndarray,
    old: Optional[np.ndarray],
    rows: Sequence[Tuple[int, int]],
) -> np.ndarray:
    """A parameter (K, …) of the head with some rows from an old one.

    Raises
    ------
    ConfigError
        There is no such row, or it has another form.
    """
    if old is None or old.shape[1:] != value.shape[1:]:
        shape = "no" if old is None else f"{old.shape} as"
        raise ConfigError(
            f"{path} has {shape} '{name}', of which model.reuse wants rows",
            "Leave model.reuse out.",
        )
    value = value.copy()
    for new, number in rows:
        if number >= len(old):
            raise ConfigError(
                f"model.reuse: {path} has {len(old)} classes, there is no number {number}",
                f"Give one from 0 to {len(old) - 1}.",
            )
        value[new] = old[number]
    return value


def _others(names: Sequence[Any]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
