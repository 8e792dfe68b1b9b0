"""The task that translates images into images: pix2pix, and the networks that it takes.

Holds no layers, no pool and no data; these are in ``unet.py``, ``patch.py``, ``pool.py``, and in
``pairs.py`` and ``houses.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Tuple

import numpy as np

from dope.core.backend import mx, nd
from dope.core.errors import ConfigError, DataError
from dope.core.exporting.declaring import Exported, Input
from dope.core.metrics import Sum
from dope.core.pictures import read_image
from dope.core.rundir import RunDirectory
from dope.core.task import compiled
from dope.plugins.generative import pix2pix_plots as plots
from dope.plugins.generative.adversarial import Adversarial, clip_weights, steepness
from dope.plugins.generative.pairs import to_input, to_pixels
from dope.plugins.generative.patch import Patches, smallest
from dope.plugins.generative.pool import ImagePool
from dope.plugins.generative.quality import absolute, psnr, ssim
from dope.plugins.generative.unet import UNet, stacked

if TYPE_CHECKING:
    from dope.core.engine import Engine

SHOWN = 6  # pairs in a grid
BATCH = 16  # images that are translated at a time


def translator(
    dataset: Any,
    *,
    width: int = 64,
    patch_width: int = 64,
    patch_layers: int = 3,
    dropout: float = 0.5,
    norm: Literal["batch", "instance", "none"] = "batch",
) -> dict[str, Any]:
    """A U-Net that makes images of images, and a discriminator of patches.

    Parameters
    ----------
    width
        Channels of the generator's largest maps.
    patch_width
        Channels of the discriminator's first maps.
    patch_layers
        Convolutions of the discriminator that halve height and width: 3 for patches of 70 x 70
        pixels, 2 for 34 x 34, 1 for 16 x 16.
    dropout
        Share of values dropped in the generator's three smallest maps on the way up, while it
        learns; 0 for none.
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
        A number is out of range, or the images are too small for so many layers.

    Notes
    -----
    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (2017). In
    the paper dropout is on in prediction too; here it is not, so that an image has one
    translation.
    """
    for name, value in (("width", width), ("patch_width", patch_width)):
        if value < 1:
            raise ConfigError(f"model.{name} is {value}", "It is at least 1.")
    if not 0 <= dropout < 1:
        raise ConfigError(f"model.dropout is {dropout}", "It is at least 0 and below 1.")
    channels, height, across = dataset.shape
    if height != across or height & (height - 1) or height < 8:
        raise ConfigError(
            f"images of {height} x {across} do not fit generative.translator",
            "It takes squares whose side is a power of two: set dataset.size.",
        )
    if patch_layers < 1 or smallest(patch_layers) > height:
        raise ConfigError(
            f"model.patch_layers is {patch_layers} for images of {height} x {height}",
            f"It is at least 1, and 4 times 2 to this power is at most {height}.",
        )
    return {
        "discriminator": Patches(2 * channels, patch_width, patch_layers, norm),
        "generator": UNet(channels, channels, height, width, dropout, norm),
    }


class Pix2Pix(Adversarial):
    """Translate images into images, learned from pairs of both.

    The generator's loss is the adversarial one plus ``l1`` times the mean absolute error, of
    pixels between -1 and 1; the discriminator sees input and output on top of each other, and its
    loss is halved. Its false images come through a pool of earlier ones.

    Parameters
    ----------
    l1
        Weight of the absolute error; 0 or more.
    pool
        Earlier images that the discriminator may be shown again; 0 for none.

    Notes
    -----
    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (2017). False
    images for the discriminator are made as in learning, with the statistics of the batch.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "translations": (
            "The output should be as sharp as the target below it, not only alike in colour. "
            "Blur is what the L1 loss alone would give; invented detail is the discriminator's "
            "doing."
        ),
        "samples": "Held-out inputs after more and more epochs.",
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "generative.houses",
        "model": "generative.translator",
        "loss": "losses.logistic",
        "optimizer": {"name": "adam", "learning_rate": 0.0002, "beta1": 0.5},
        "trainer": {"epochs": 200, "batch_size": 1, "monitor": "valid_l1"},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "dataset": {"name": "generative.houses", "train": 256, "valid": 48},
            "model": {
                "name": "generative.translator",
                "width": 16,
                "patch_width": 16,
                "patch_layers": 2,
                "dropout": 0.0,
            },
            "optimizer": {"name": "adam", "learning_rate": 0.002, "beta1": 0.5},
            "trainer": {"epochs": 4, "batch_size": 4, "schedule": "linear"},
        },
        "book": {
            "dataset": {"name": "generative.facades", "size": 256, "mirror": False},
            "trainer": {"epochs": 100, "batch_size": 10},
        },
        "tiny": {
            "task": {"pool": 4},  # so that it is full soon, and earlier images come back
            "dataset": {"name": "generative.houses", "train": 12, "valid": 4},
            "model": {
                "name": "generative.translator",
                "width": 4,
                "patch_width": 4,
                "patch_layers": 1,
            },
            "trainer": {"epochs": 2, "batch_size": 4},
        },
    }
    contract: ClassVar[Mapping[str, Any]] = {
        # Each context normalizes its own shard. What rounding differs by must not be made large:
        # by Adam, where the gradients of real and false scores cancel; by the sign of an error.
        "contexts": {
            "model": {"norm": "instance", "dropout": 0.0},
            "loss": "losses.l2",
            "task": {"l1": 10.0},
            "optimizer": {"name": "sgd", "learning_rate": 0.001},
        },
        "hybrid": {
            "model": {"norm": "instance", "dropout": 0.0},
            "loss": "losses.l2",
            "task": {"l1": 10.0},
            "optimizer": {"name": "sgd", "learning_rate": 0.001},
        },
    }

    def __init__(self, *, l1: float = 100.0, pool: int = 50, **options: Any) -> None:
        super().__init__(**options)
        if l1 < 0:
            raise ConfigError(f"task.l1 is {l1}", "It is 0 or more.")
        if pool < 0:
            raise ConfigError(f"task.pool is {pool}", "It is 0 or more.")
        self.l1, self.pool = l1, ImagePool(pool)

    def prepare(self) -> None:
        """Begin an empty pool, whose random numbers depend on the seed of the run."""
        self.pool = ImagePool(self.pool.size, int(np.random.randint(2**31)))

    def step(self, engine: Engine, batch: Any) -> Mapping[str, Sum]:
        """An update of the discriminator by new and earlier images, then one of the generator."""
        parts = engine.gather(self.pairs, batch)
        false = [part.as_in_context(parts[0].context) for part in parts]
        earlier = self.pool.query(false[0] if len(false) == 1 else nd.concat(*false, dim=0))
        found = dict(engine.minimize("discriminator", self.tell_apart, (*batch, earlier)))
        if self.clip_weights is not None:
            clip_weights(engine.nets["discriminator"], self.clip_weights)
        return {**found, **engine.minimize("generator", self.deceive, batch)}

    def pairs(self, nets: Any, shard: Any) -> Any:
        """Inputs and, on top, what the learning generator makes of them: (n, 2 C, H, W)."""
        with mx.autograd.train_mode():
            return _beside(shard[0], nets["generator"](shard[0]))

    @compiled
    def tell_apart(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The discriminator's loss (n,) of true pairs and of false ones that were made before."""
        x, y, false = shard
        true = _beside(x, y)
        of_true, of_false = nets["discriminator"](true), nets["discriminator"](false)
        loss = 0.5 * (self.against(of_true, self.real) + self.against(of_false, 0.0))
        if self.slope_penalty:
            loss = loss + self.slope_penalty * steepness(of_true - of_false, true - false)
        right = (self.right(of_true) + 1 - self.right(of_false)) / 2
        return {"discriminator_loss": loss, "discriminator_accuracy": right}

    @compiled
    def deceive(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The generator's loss (n,), and the parts that it is the sum of."""
        x, y = shard
        made = nets["generator"](x)
        passes = self.against(nets["discriminator"](_beside(x, made)), 1.0)
        error = absolute(made, y)
        return {
            "generator_loss": passes + self.l1 * error,
            "adversarial_loss": passes,
            "l1": error / 2,
        }

    def evaluate(self, engine: Engine) -> dict[str, float]:
        """Mean absolute error, PSNR and SSIM of held-out images, of pixels between 0 and 1."""
        figures = {}
        for split in ("valid", "test"):
            sums: dict[str, Sum] = {}
            for batch in self.data(split) or ():
                for name, value in engine.total(self.compare, batch).items():
                    sums[name] = sums.get(name, Sum()) + value
            figures.update({f"{split}_{name}": value.mean() for name, value in sums.items()})
        return figures

    def compare(self, nets: Any, shard: Any, carry: Any) -> Any:
        """How close translations are to what they should be, (n,) each."""
        made, target = ((each + 1) / 2 for each in (nets["generator"](shard[0]), shard[1]))
        return {
            "l1": absolute(made, target),
            "psnr": psnr(made, target),
            "ssim": ssim(made, target),
        }

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """What the input itself and the mean image would reach; a grid of held-out pairs."""
        self._grid(nets, run.plots / "translations.png", f"After {self.options.epochs} epochs")
        found = self.dataset.split("valid") or self.dataset.split("test")
        if not found:
            return {}
        inputs, targets = (to_input(pixels) / 2 for pixels in found)
        mean = self._mean_image()
        return {
            "identity_l1": float(np.abs(inputs - targets).mean()),
            "mean_image_l1": float(np.abs(mean - targets).mean()),
        }

    def sample(self, nets: Any, run: RunDirectory, epoch: int) -> None:
        """A grid of inputs, outputs and targets, the same ones each time."""
        self._grid(nets, run.path / "samples" / f"epoch-{epoch:04d}.png", f"Epoch {epoch}")

    def predict(
        self, nets: Any, run: RunDirectory, *, inputs: Tuple[str, ...] = (), n: int = 16
    ) -> dict[str, Any]:
        """Translate images, and write each into the run's folder ``predictions``.

        Parameters
        ----------
        inputs
            Image files: inputs alone, not pairs. Each is brought to the size of the data set, its
            centre cut to a square. Without any, held-out images of the data set are translated.
        n
            How many of these, at most.
        """
        if n < 1:
            raise ConfigError(f"--n {n}: there is nothing to translate", "It is at least 1.")
        folder = run.path / "predictions"
        folder.mkdir(exist_ok=True)
        if inputs:
            return self._translate_files(nets, folder, inputs)
        part = "valid" if self.dataset.split("valid") else "test"
        found = self.dataset.split(part)
        if not found:
            raise ConfigError("the data set has no held-out images", "Give --input IMAGE.")
        pixels, targets = (each[:n] for each in found)
        made = self.translate(nets, pixels)
        rows, files = [], []
        for i, (image, target) in enumerate(zip(made, targets)):
            files.append(plots.write(folder / f"{part}-{i:04d}.png", image))
            error = np.abs(image.astype(float) - target).mean() / 255
            rows.append({"image": i, "l1": float(error), "file": str(files[-1])})
        return {"rows": rows, "files": files}

    def _translate_files(self, nets: Any, folder: Path, inputs: Tuple[str, ...]) -> dict[str, Any]:
        try:
            pixels = np.stack([read_image(Path(path), self.dataset.shape) for path in inputs])
        except DataError as error:
            raise ConfigError(error.message, error.hint) from error
        rows, files = [], []
        for path, image in zip(inputs, self.translate(nets, pixels)):
            target, number = folder / f"{Path(path).stem}.png", 2
            while target in files:  # two inputs of one name
                target, number = folder / f"{Path(path).stem}-{number}.png", number + 1
            files.append(plots.write(target, image))
            rows.append({"image": path, "file": str(files[-1])})
        return {"rows": rows, "files": files}

    def exports(self, nets: Any) -> Sequence[Exported]:
        """The generator: images to images."""
        images = self.examples_of("valid", "test", "train")[0]
        meaning = "pixels from -1 to 1; images, colours, height, width"
        return [
            Exported(
                [nets["generator"]],
                nets["generator"],
                [Input("image", images, meaning)],
                {"translation": meaning},
                name="generator",
                about="Translates images.",
            )
        ]

    def translate(self, nets: Any, pixels: np.ndarray) -> np.ndarray:
        """Images of images, uint8 (n, 3, H, W) each."""
        return to_pixels(
            np.concatenate(
                [
                    self.draw(nets, to_input(pixels[i : i + BATCH]))
                    for i in range(0, len(pixels), BATCH)
                ]
            )
        )

    def state(self) -> Mapping[str, np.ndarray]:
        """The pool."""
        return {f"pool/{key}": value for key, value in self.pool.state().items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Put the pool back."""
        self.pool.restore({k[5:]: value for k, value in arrays.items() if k.startswith("pool/")})

    def _grid(self, nets: Any, path: Path, heading: str) -> None:
        found = self.dataset.split("valid") or self.dataset.split("test")
        if found:
            inputs, targets = (pixels[:SHOWN] for pixels in found)
            plots.grid(path, inputs, self.translate(nets, inputs), targets, heading)

    def _mean_image(self) -> np.ndarray:
        """Mean of the training targets, between -1/2 and 1/2, (3, S, S)."""
        images = self.dataset.split("train")[1]
        extra = (images.shape[-1] - self.dataset.size) // 2
        if extra:
            end = extra + self.dataset.size
            images = images[..., extra:end, extra:end]
        return images.mean(axis=0, dtype=np.float64) / 255 - 0.5


def _beside(one: Any, other: Any) -> Any:
    """Arrays or symbols (n, C, H, W) one upon the other, (n, 2 C, H, W)."""
    return stacked(nd if isinstance(one, nd.NDArray) else mx.sym, one, other)
