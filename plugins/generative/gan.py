"""Points in a plane from two small networks, and how near they come to the data.

Holds the networks, the task and its figures; the contest of the two is in ``adversarial.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Optional, Tuple

import numpy as np

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.core.rundir import RunDirectory
from dope.plugins.generative import gan_plots
from dope.plugins.generative.adversarial import Adversarial

if TYPE_CHECKING:
    from dope.core.engine import Engine

MADE = 2000  # points that are made to be measured
COMPARED = 1000  # of those, and of the data's, that the maximum mean discrepancy compares


def dense_pair(
    dataset: Any,
    *,
    latent: int = 2,
    generator: Tuple[int, ...] = (),
    discriminator: Tuple[int, ...] = (16,),
    deviation: Optional[float] = None,
) -> dict[str, Any]:
    """A generator and a discriminator of dense layers.

    Parameters
    ----------
    latent
        Values of the noise that a point is made of.
    generator
        Units of the generator's hidden layers, with relu; none is a linear map, which is all that
        a Gaussian takes.
    discriminator
        Units of the discriminator's hidden layers, with tanh.
    deviation
        Standard deviation of the weights at the start; default Xavier's.

    Raises
    ------
    ConfigError
        A layer has no unit, or ``deviation`` is not above 0.
    """
    if min((latent, *generator, *discriminator)) < 1:
        raise ConfigError("a layer of the model has no unit", "Each has at least 1.")
    if deviation is not None and deviation <= 0:
        raise ConfigError(f"model.deviation={deviation}", "It is above 0, or null for Xavier's.")
    init = mx.init.Xavier() if deviation is None else mx.init.Normal(deviation)
    made = dense(latent, generator, dataset.dimensions, "relu", init)
    made.latent = (latent,)
    judge = dense(dataset.dimensions, discriminator, 1, "tanh", init)
    return {"generator": made, "discriminator": judge}


class Dense(mx.gluon.nn.Dense):
    """A dense layer as a plain product: for so few numbers a fifth of what oneDNN's takes."""

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        """Outputs (n, units) of inputs (n, inputs)."""
        made = F.broadcast_add(F.dot(x, weight, transpose_b=True), bias)
        return made if self.act is None else getattr(F, self.act._act_type)(made)


def dense(inputs: int, hidden: Tuple[int, ...], outputs: int, activation: str, init: Any) -> Any:
    """Dense layers; the last one is linear."""
    net = mx.gluon.nn.HybridSequential()
    for units, act in [*((units, activation) for units in hidden), (outputs, None)]:
        net.add(Dense(units, activation=act, in_units=inputs, weight_initializer=init))
        inputs = units
    return net


class GAN(Adversarial):
    """Make points that are distributed as the data's."""

    together = True
    captions: ClassVar[Mapping[str, Any]] = {
        "samples": (
            "Blue points should cover the grey cloud, its width too. A line or a knot within "
            "the cloud is a generator that has found only part of the data."
        ),
    }
    threads = 1  # networks so small gain nothing from more
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "generative.gaussian",
        "model": "generative.dense_pair",
        "loss": "losses.logistic",
        "optimizer": {"name": "adam", "learning_rate": 0.02, "beta1": 0.5},
        "trainer": {"epochs": 20, "batch_size": 100},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "dataset": {"name": "generative.gaussian", "n": 5000},
            "trainer": {"schedule": "linear"},
        },
        "book": {
            "task": {"discriminator_rate": 5.0},
            "model": {
                "name": "generative.dense_pair",
                "discriminator": [5, 3],
                "deviation": 0.02,
            },
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "trainer": {"epochs": 10, "batch_size": 4},
        },
        "tiny": {
            "dataset": {"name": "generative.gaussian", "n": 100, "held_out": 50},
            "trainer": {"epochs": 2, "batch_size": 20},
        },
    }

    def evaluate(self, engine: Engine) -> dict[str, float]:
        """How well the two are told apart, and how far made points are from held-out ones."""
        made = self.draw(engine.nets, self.noise(np.random.default_rng(0), MADE))
        data = self.dataset.split("valid")
        found = {**distances(data, made), **self.dataset.figures(made)}
        return {**super().evaluate(engine), **{f"valid_{k}": v for k, v in found.items()}}

    def sample(self, nets: Any, run: RunDirectory, epoch: int) -> None:
        """Points over those of the data: ``samples/epoch-0001.png``."""
        self._plot(nets, run.path / "samples" / f"epoch-{epoch:04}.png", f"After epoch {epoch}")

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Mean and covariance of made points and of the data's, and ``plots/samples.png``."""
        made = self._plot(nets, run.plots / "samples.png", "Points of the generator")
        data = self.dataset.split("valid")
        return {
            f"{name}_{figure}": value.tolist()
            for name, points in (("sample", made), ("data", data))
            for figure, value in (("mean", points.mean(axis=0)), ("covariance", np.cov(points.T)))
        }

    def predict(self, nets: Any, run: RunDirectory, *, n: int = 1000) -> dict[str, Any]:
        """Points of the generator.

        Parameters
        ----------
        n
            How many.
        """
        if n < 1:
            raise ConfigError(f"--n {n} is out of range", "It is at least 1.")
        noise = np.random.standard_normal((n, *(self.latent or ()))).astype(np.float32)
        return {"rows": [{"x": x, "y": y} for x, y in self.draw(nets, noise).tolist()]}

    def noise(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """What so many points are made of, (n, latent)."""
        return rng.standard_normal((n, *(self.latent or ())), dtype=np.float32)

    def _plot(self, nets: Any, path: Any, title: str) -> np.ndarray:
        made = self.draw(nets, self.noise(np.random.default_rng(0), MADE))
        data = self.dataset.split("valid")
        said = {key.replace("_", " "): value for key, value in distances(data, made).items()}
        gan_plots.cloud(path, data, made, title, said)
        return made


def distances(data: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """How far made points (m, d) are from those of the data (n, d).

    Returns
    -------
    dict
        ``mean_error``, the distance of the means; ``covariance_error``, the Frobenius norm of the
        covariances' difference over that of the data's; ``mmd2``, as `mmd2`, of the first thousand
        of each.
    """
    data, made = data.astype(np.float64), made.astype(np.float64)
    true, found = np.cov(data.T), np.cov(made.T)
    return {
        "mean_error": float(np.linalg.norm(made.mean(axis=0) - data.mean(axis=0))),
        "covariance_error": float(np.linalg.norm(found - true) / np.linalg.norm(true)),
        "mmd2": mmd2(data[:COMPARED], made[:COMPARED]),
    }


def mmd2(data: np.ndarray, made: np.ndarray) -> float:
    """The square of the maximum mean discrepancy, estimated without bias.

    The kernel is ``exp(-|x - y|^2 / (2 s^2))``, with s the median distance of two points of the
    data. 0 is expected where both have the same distribution, and an estimate may then be below 0.

    Parameters
    ----------
    data, made
        Points (n, d) and (m, d), two at least of each.

    Notes
    -----
    Gretton et al., "A Kernel Two-Sample Test" (2012), equation 3; the median is of the data and not
    of both together, so that the figures of all epochs have one kernel.
    """
    among, across, others = _squares(data, data), _squares(data, made), _squares(made, made)
    n, m = len(data), len(made)
    scale = 2 * float(np.median(among[np.triu_indices(n, 1)])) or 1.0
    of_data = (np.exp(-among / scale).sum() - n) / (n * (n - 1))  # without pairs of one with itself
    of_made = (np.exp(-others / scale).sum() - m) / (m * (m - 1))
    return float(of_data + of_made - 2 * np.exp(-across / scale).mean())


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances (n, m)."""
    found = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    if a is b:
        np.fill_diagonal(found, 0.0)  # and not what rounding leaves
    return np.maximum(found, 0.0)
