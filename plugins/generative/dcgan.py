"""DCGAN: images from noise, and the sheets and figures that say how good they are.

Holds the task; its networks are in ``dcgan_nets.py``, the two losses in ``adversarial.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Optional

import numpy as np

from dope.core.backend import mx
from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import Exported
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory
from dope.core.task import compiled, parameters
from dope.plugins.generative.adversarial import Adversarial
from dope.plugins.generative.image_plots import save_pixels, save_sheets, sheet
from dope.plugins.generative.images import to_pixels

if TYPE_CHECKING:
    from dope.core.engine import Engine

FIXED = 7  # seed of the noise that is shown after each epoch
COMPARED = 128  # images whose distances are taken
COLLAPSED = 0.5  # share of the data's mean distance below which a warning is given
WALKS, STEPS = 6, 9  # of the interpolation


class DCGAN(Adversarial):
    """Make images like those of a data set from noise.

    Parameters
    ----------
    instance_noise
        Standard deviation of normal noise on everything that the discriminator sees, where pixels
        go from -1 to 1. It is multiplied with the schedule of the learning rate, so that
        ``trainer.schedule=linear`` lets it fade. 0 for none.
    average
        Share of its past that a running average of the generator's weights keeps at each step,
        0.99 say; images are then made by the average, which is steadier. 0 makes them by the
        generator as it is.
    shown
        Images in the sheet after each epoch, always of the same noise.

    Notes
    -----
    Radford, Metz and Chintala (2016), with its optimizer. Noise on instances: Sønderby et al.,
    "Amortised MAP Inference for Image Super-resolution" (2017), section 3.3. The average: Yazıcı et
    al., "The Unusual Effectiveness of Averaging in GAN Training" (2019). ``diversity`` is the mean
    Euclidean distance of 128 made images from each other over that of 128 of the data: 1 is as
    varied as the data, 0 is the same image again and again.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "images": (
            "Compare variety before sharpness: if the made images look alike, the generator has "
            "collapsed onto a few."
        ),
        "interpolation": (
            "Each row goes from one noise to another. Smooth changes say that the generator has "
            "learned a space of images; jumps, that it has learned a list of them."
        ),
        "samples": "The same noise after more and more epochs.",
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "generative.faces",
        "model": "generative.dcgan",
        "loss": "losses.logistic",
        "optimizer": {"name": "adam", "learning_rate": 0.0002, "beta1": 0.5},
        "trainer": {"batch_size": 64, "keep": 5},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "model": {"name": "generative.dcgan", "features": 32},
            "task": {"real": 0.9, "average": 0.99},
            "optimizer": {"name": "adam", "learning_rate": 0.0005, "beta1": 0.5},
            "trainer": {"epochs": 12, "batch_size": 32},
        },
        "book": {
            "dataset": {"name": "generative.lfw", "archive": "deepfunneled"},
            "trainer": {"epochs": 2},
        },
        "tiny": {
            "dataset": {"name": "generative.faces", "n": 48, "size": 16},
            "model": {"name": "generative.dcgan", "features": 4, "latent": 8},
            "trainer": {"epochs": 2, "batch_size": 16},
        },
    }
    contract: ClassVar[Mapping[str, Any]] = {
        # each context normalizes its own shard
        "contexts": {"model": {"norm": "instance"}},
    }
    exempt: ClassVar[Mapping[str, str]] = {
        "quick": "images that a person recognises take two minutes of one core, not one"
    }

    def __init__(
        self,
        *,
        instance_noise: float = 0.0,
        average: float = 0.0,
        shown: int = 64,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if instance_noise < 0:
            raise ConfigError(f"task.instance_noise is {instance_noise}", "It is 0 or more.")
        if not 0 <= average < 1:
            raise ConfigError(f"task.average is {average}", "It is at least 0 and below 1.")
        if shown < 1:
            raise ConfigError(f"task.shown is {shown}", "It is at least 1.")
        self.instance_noise, self.average, self.shown = instance_noise, average, shown
        self._averaged = 0  # steps that the average has seen
        self._data_spread: Optional[float] = None
        self._diverse, self._fell = False, False  # whether images were varied, and no longer are

    def build(self) -> Any:
        """The two networks, and a second generator for the average where there is one."""
        nets = dict(super().build())
        if self.average:
            nets["average"] = self.model(self.dataset)["generator"]
            for parameter in nets["average"].collect_params().values():
                parameter.grad_req = "null"
        return nets

    def data(self, split: str) -> Optional[Iterable[Any]]:
        """Batches (images, noise), with the two noises on instances where these are asked for."""
        found = super().data(split)
        if found is None or not self.instance_noise:
            return found
        plain: Any = found

        def noisy(arrays: Any, rng: Optional[np.random.Generator]) -> tuple[Any, ...]:
            images, noise = plain.transform(arrays, rng)
            drawn = rng or np.random.default_rng(0)
            return (
                images,
                noise,
                *(drawn.standard_normal(images.shape, dtype=np.float32) for _ in range(2)),
            )

        shuffle = plain.shuffle
        return ArrayBatches(plain.arrays, plain.batch_size, shuffle=shuffle, transform=noisy)

    def step(self, engine: Engine, batch: Any) -> Mapping[str, Sum]:
        """An update of the discriminator, then one of the generator."""
        if self.instance_noise:
            size = self.instance_noise * engine.rate
            batch = (*batch[:2], batch[2] * size, batch[3] * size)
        found = super().step(engine, batch)
        if self.average:
            # the first weights are forgotten sooner than later ones
            keep = min(self.average, self._averaged / (self._averaged + 9))
            follow(engine.nets["average"], engine.nets["generator"], keep)
            self._averaged += 1
        return found

    def state(self) -> Mapping[str, np.ndarray]:
        """How many steps the average has seen."""
        return {"averaged": np.array([self._averaged])} if self.average else {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go back to what `state` returned."""
        if "averaged" in arrays:
            self._averaged = int(arrays["averaged"][0])

    def examples(self, shard: Any) -> Any:
        """The real images of a shard."""
        return shard[0] + shard[2] if self.instance_noise else shard[0]

    def made(self, nets: Any, shard: Any) -> Any:
        """As many images of the generator."""
        images = super().made(nets, shard)
        return images + shard[3] if self.instance_noise else images

    @compiled
    def tell_apart(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The discriminator's loss (n,); it leaves the generator's moving averages alone."""
        with unmoved(nets["generator"]):
            return super().tell_apart(nets, shard, carry)

    @compiled
    def deceive(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The generator's loss (n,); it leaves the discriminator's moving averages alone."""
        with unmoved(nets["discriminator"]):
            return super().deceive(nets, shard, carry)

    def evaluate(self, engine: Engine) -> dict[str, float]:
        """How varied the images are, beside losses on held-out data where there is any."""
        diversity = self._diversity(engine.nets)
        self._fell = self._diverse and diversity < COLLAPSED
        self._diverse = diversity >= COLLAPSED
        return {**super().evaluate(engine), "diversity": diversity}

    def sample(self, nets: Any, run: RunDirectory, epoch: int) -> None:
        """A sheet of the same noise after each epoch, and a warning where variety is lost."""
        if self._fell:
            run.log(f"warning: after epoch {epoch} the images are much alike; see diversity")
        made = self._images(nets, self._fixed(self.shown))
        save_pixels(run.path / "samples" / f"epoch-{epoch:04d}.png", sheet(made))

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Sheets of real and made images and of walks between images, and how varied they are."""
        noise = self._fixed(max(self.shown, 2 * WALKS))
        made = self._images(nets, noise[: self.shown])
        real = self.dataset.pixels[: self.shown]
        save_sheets(run.plots / "images.png", {"Data": sheet(real), "Made from noise": sheet(made)})
        walks = np.concatenate(
            [between(noise[2 * i], noise[2 * i + 1], STEPS) for i in range(WALKS)]
        )
        title = "From one noise to another"
        pixels = self._images(nets, walks)
        save_sheets(run.plots / "interpolation.png", {title: sheet(pixels, STEPS)})
        diversity = self._diversity(nets)
        if diversity < COLLAPSED:
            run.log(
                f"warning: the images differ {diversity:.2f} times as much as the data's; the "
                "generator may have collapsed. Go back to an earlier checkpoint, or try "
                "task.real=0.9, task.instance_noise=0.1 or a smaller optimizer.learning_rate."
            )
        return {"diversity": diversity, "collapsed": diversity < COLLAPSED}

    def predict(
        self, nets: Any, run: RunDirectory, *, n: int = 64, single: bool = False
    ) -> dict[str, Any]:
        """Make images from new noise, and write them as a sheet.

        Parameters
        ----------
        n
            How many.
        single
            Write each image as a file of its own too.

        Returns
        -------
        dict
            ``files``, PNG; and the number of ``images``.
        """
        if n < 1:
            raise ConfigError(f"--n is {n}", "It is at least 1.")
        noise = np.random.standard_normal((n, *self._latent)).astype(np.float32)
        pixels = self._images(nets, noise)
        folder = run.path / "samples"
        number = 1
        while (folder / f"made-{number:03d}.png").exists():
            number += 1
        files = [save_pixels(folder / f"made-{number:03d}.png", sheet(pixels))]
        for i, image in enumerate(pixels if single else (), 1):
            plain = np.broadcast_to(np.moveaxis(image, 0, -1), (*image.shape[1:], 3))
            files.append(save_pixels(folder / f"made-{number:03d}-{i:04d}.png", plain.copy()))
        return {"images": n, "files": files}

    def exports(self, nets: Any) -> Sequence[Exported]:
        """The generator that images are made by, or its average where there is one."""
        (found,) = super().exports({"generator": self._maker(nets)})
        pixels = {"made": "pixels from -1 to 1; images, colours, height, width"}
        return [dataclasses.replace(found, outputs=pixels, about="Makes images from noise.")]

    def _maker(self, nets: Any) -> Any:
        return nets["average" if self.average else "generator"]

    @property
    def _latent(self) -> tuple[int, ...]:
        return tuple(self.latent or ())

    def _fixed(self, n: int) -> np.ndarray:
        """The first ``n`` of the noise that is always the same."""
        drawn = np.random.default_rng(FIXED).standard_normal((n, *self._latent))
        return drawn.astype(np.float32)

    def _images(self, nets: Any, noise: np.ndarray) -> np.ndarray:
        """Images uint8 (n, C, H, W) of noise."""
        return to_pixels(self.draw({"generator": self._maker(nets)}, noise))

    def _diversity(self, nets: Any) -> float:
        if self._data_spread is None:
            pixels = self.dataset.pixels
            rows = np.random.default_rng(FIXED).permutation(len(pixels))[:COMPARED]
            self._data_spread = spread(pixels[rows])
        return spread(self._images(nets, self._fixed(COMPARED))) / max(self._data_spread, 1e-12)


def follow(average: Any, net: Any, keep: float) -> None:
    """Move each number of a network towards the same one of another: ``keep`` of it stays."""
    theirs = parameters(net)
    for name, parameter in parameters(average).items():
        for mean, now in zip(parameter.list_data(), theirs[name].list_data()):
            mean *= keep
            mean += (1 - keep) * now


def spread(images: np.ndarray) -> float:
    """Mean Euclidean distance of images (n, …) from each other; 0 for fewer than two."""
    rows = images.reshape(len(images), -1).astype(np.float64)
    if len(rows) < 2:
        return 0.0
    rows -= rows.mean(axis=0)  # distances stay, rounding errors shrink
    squares = (rows * rows).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0))
    np.fill_diagonal(distances, 0)
    return float(distances.sum() / (len(rows) * (len(rows) - 1)))


def between(first: np.ndarray, last: np.ndarray, steps: int) -> np.ndarray:
    """Noise on the way from one to the other, along the arc: (steps, …).

    On a straight line the middle would be shorter, by a factor of about 0.7, than any noise that
    the generator has learned from. White, "Sampling Generative Networks" (2016).
    """
    lengths = np.linalg.norm(first) * np.linalg.norm(last)
    angle = np.arccos(np.clip((first * last).sum() / lengths, -1, 1))
    share = np.linspace(0, 1, steps).reshape(-1, *[1] * first.ndim)
    if np.sin(angle) < 1e-6:
        return (first + share * (last - first)).astype(np.float32)
    arc = np.sin((1 - share) * angle) * first + np.sin(share * angle) * last
    return (arc / np.sin(angle)).astype(np.float32)


@contextlib.contextmanager
def unmoved(net: Any) -> Iterator[None]:
    """Within it, batch normalization of ``net`` does not count moving averages."""
    layers = [each for each in net if isinstance(each, mx.gluon.nn.BatchNorm)]
    before = [layer._kwargs["momentum"] for layer in layers]
    for layer in layers:
        layer._kwargs["momentum"] = 1.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before):
            layer._kwargs["momentum"] = momentum
