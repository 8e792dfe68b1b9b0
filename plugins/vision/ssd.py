"""The task that finds objects in images by a single-shot detector.

Holds no layers, no matching and no drawing; these are in ``ssd_net.py``, ``matching.py`` and
``detection_plots.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Optional, Tuple

import numpy as np

from dope.core.backend import mx, nd
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import Exported, Input
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory
from dope.core.task import Task, compiled
from dope.plugins.vision import detection_plots as plots
from dope.plugins.vision.average_precision import mean_average_precision
from dope.plugins.vision.matching import VARIANCES, targets
from dope.plugins.vision.nms import detect, read
from dope.plugins.vision.scaling import IMAGES, scaling

if TYPE_CHECKING:
    from dope.core.engine import Engine

SHOWN = 12  # images in a grid
SURE = 0.5  # probability from which on a box is drawn
LEAST = 0.01  # from which on it counts for precision and recall
FIGURES = {"map@50": "map_50", "map@75": "map_75", "map": "map", "voc07_map": "map_50_voc07"}


class Detector(Task):
    """Find objects in images: classes and boxes, by a single-shot detector.

    The loss of an image is that of the classes of its default boxes plus smooth L1 of the offsets
    of those that are to find an object.

    Parameters
    ----------
    matched
        IoU with an object from which on a default box is to find it; the best default box of each
        object is to find it in any case.
    box_weight
        Weight of the loss of offsets.
    per
        What both losses are divided by: the number of ``matched`` default boxes of the image, or
        that of all its default ``boxes``.
    overlap
        IoU from which on the less sure of two boxes of one class is dropped, in evaluation.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "detections": (
            "Found boxes are coloured, true ones white and dashed. Look for true boxes without "
            "a coloured one, several boxes for one thing, and boxes around nothing."
        ),
        "precision-recall": (
            "The further a line stays at the top before it falls, the better: all of a class "
            "found before the first false alarm. A line that ends early has missed the rest."
        ),
        "samples": "The same images after more and more epochs.",
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "vision.shapes",
        "model": "vision.ssd",
        "loss": "vision.hard_negatives",
        "optimizer": {"name": "adam", "learning_rate": 0.002},
        "trainer": {"batch_size": 32, "schedule": "cosine", "monitor": "valid_map@50"},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "dataset": {
                "name": "vision.shapes",
                "size": 96,
                "train": 640,
                "valid": 100,
                "test": 0,
                "smallest": 0.25,
                "crop": 0.0,
            },
            "trainer": {"epochs": 8, "batch_size": 16, "evaluate_every": 4},
        },
        "full": {
            "dataset": {"name": "vision.shapes", "train": 2000, "crop": 0.0},
            "trainer": {"epochs": 8, "evaluate_every": 2},
        },
        "book": {
            "task": {"per": "boxes"},
            "dataset": {
                "name": "vision.pikachu",
                "size": 256,
                "crop": 1.0,
                "mirror": False,
                "jitter": 0.0,
                "normalize": True,
            },
            "loss": {"name": "vision.focal", "objects": 0.25, "background": 0.25},
            "optimizer": {"name": "sgd", "learning_rate": 0.1, "wd": 0.0005},
            "trainer": {"epochs": 150, "schedule": "constant"},
        },
        "tiny": {
            "dataset": {"name": "vision.shapes", "size": 64, "train": 16, "valid": 6, "test": 4},
            "model": {
                "name": "vision.ssd",
                "body": [4, 4, 8],
                "stages": [8, 8, 8],
                "depth": 1,
            },
            "trainer": {"epochs": 2, "batch_size": 4},
        },
    }
    contract: ClassVar[Mapping[str, Any]] = {
        # In a short run some maps may have no hard negative, and no object of their size.
        "moves": {
            "loss": "vision.focal",
            "task": {"matched": 0.2},
            "dataset": {"largest": 0.9, "crop": 0.0},
        },
        # Each context normalizes its own shard. Adam makes large what rounding differs by.
        "contexts": {
            "model": {"norm": "none"},
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
        },
        "hybrid": {
            "model": {"norm": "none"},
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
        },
    }

    def __init__(
        self,
        *,
        matched: float = 0.5,
        box_weight: float = 1.0,
        per: Literal["matched", "boxes"] = "matched",
        overlap: float = 0.45,
    ) -> None:
        if not 0 < matched <= 1:
            raise ConfigError(f"task.matched is {matched}", "It is above 0 and at most 1.")
        if box_weight < 0:
            raise ConfigError(f"task.box_weight is {box_weight}", "It is 0 or more.")
        if not 0 < overlap <= 1:
            raise ConfigError(f"task.overlap is {overlap}", "It is above 0 and at most 1.")
        self.matched, self.box_weight, self.per = matched, box_weight, per
        self.overlap = overlap

    def build(self) -> Any:
        """The network; its default boxes are what images are matched with."""
        net = self.model(self.dataset)
        self.anchors = net.anchors
        return net

    def data(self, split: str) -> Any:
        """Batches of images (n, 3, H, W), classes (n, A) and offsets (n, A, 4) of default boxes.

        Which default box is to find which object depends on how the images are varied, so it is
        worked out anew for each chunk of them.
        """
        batches = self.dataset.batches(split, self.options.batch_size)
        if batches is None:
            return None
        plain = batches.transform

        def with_targets(arrays: Any, rng: Optional[np.random.Generator]) -> Any:
            images, labels = plain(arrays, rng)
            return (images, *targets(self.anchors, labels, self.matched))

        batches.transform = with_targets
        return batches

    @compiled
    def loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The loss (n,) of images, its two parts, and the book's two figures.

        ``box_accuracy`` is the share of default boxes of the right class, and ``box_mae`` the mean
        absolute error of offsets, over all default boxes, those of background with 0.
        """
        images, classes, offsets = shard
        scores, found = nets(images)
        return self.compare(scores, found, classes, offsets)

    def compare(self, scores: Any, found: Any, classes: Any, offsets: Any) -> dict[str, Any]:
        """Losses and figures (n,) of scores (n, A, K + 1), offsets and targets."""
        F = nd if isinstance(scores, nd.NDArray) else mx.sym
        matched = classes > 0  # (n, A)
        error = F.broadcast_mul(found - offsets, F.expand_dims(matched, axis=2))  # (n, A, 4)
        of_classes = self.criterion(scores, classes)
        of_boxes = F.sum(F.smooth_l1(error, scalar=1.0), axis=(1, 2))
        if self.per == "matched":
            count = F.maximum(F.sum(matched, axis=1), 1)
            of_classes, of_boxes = of_classes / count, of_boxes / count
        else:
            A = len(self.anchors)
            of_classes, of_boxes = of_classes / A, of_boxes / (4 * A)
        right = F.argmax(scores, axis=2) == classes
        return {
            "loss": of_classes + self.box_weight * of_boxes,
            "class_loss": of_classes,
            "offset_loss": of_boxes,
            "box_accuracy": F.mean(right, axis=1),
            "box_mae": F.mean(F.abs(error), axis=(1, 2)),
        }

    def evaluate(self, engine: Engine) -> dict[str, float]:
        """Losses and mean average precision of held-out images."""
        figures = {}
        for split in ("valid", "test"):
            truth = self.dataset.truth(split)
            if truth is None:
                continue
            sums: dict[str, Sum] = {}
            found: list[np.ndarray] = []
            for batch in self.data(split):
                for boxes, losses in engine.gather(self.judge, batch):
                    found += read(boxes)
                    for name, vector in losses.items():
                        sums[name] = sums.get(name, Sum()) + Sum.of(vector)
            figures.update({f"{split}_{name}": value.mean() for name, value in sums.items()})
            precision = mean_average_precision(truth, found, len(self.dataset.classes))
            figures.update({f"{split}_{name}": precision[key] for name, key in FIGURES.items()})
        return figures

    def judge(self, nets: Any, shard: Any) -> tuple[Any, dict[str, Any]]:
        """Boxes found in the images of a shard, and their losses, (n,) each."""
        images, classes, offsets = shard
        scores, found = nets(images)
        boxes = detect(scores, found, nets.anchors, threshold=LEAST, overlap=self.overlap)
        return boxes, self.compare(scores, found, classes, offsets)

    def find(
        self, nets: Any, pixels: np.ndarray, threshold: float, overlap: float
    ) -> list[np.ndarray]:
        """Boxes found in images, a batch at a time.

        Parameters
        ----------
        nets
            The network.
        pixels
            uint8, (N, H, W, 3).
        threshold, overlap
            As `detect` takes them.

        Returns
        -------
        list of ndarray
            For each image float32 (p, 6): class, probability, left, top, right, bottom in shares.
        """
        context = next(iter(nets.collect_params().values())).list_ctx()[0]
        found: list[np.ndarray] = []
        size = self.options.batch_size or 32
        for start in range(0, len(pixels), size):
            images = self.dataset.to_input(pixels[start : start + size])
            scores, offsets = nets(nd.array(images, ctx=context))
            found += read(
                detect(scores, offsets, nets.anchors, threshold=threshold, overlap=overlap)
            )
        return found

    def sample(self, nets: Any, run: RunDirectory, epoch: int) -> None:
        """Held-out images with the boxes found in them, the same images each time."""
        path = run.path / "samples" / f"epoch-{epoch:04d}.png"
        self._grid(nets, path, f"Epoch {epoch}")

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Average precision of each class; its curve; images with boxes; what was skipped."""
        part = self._held_out()
        if part is None:
            return {}
        self._grid(nets, run.plots / "detections.png", f"After {self.options.epochs} epochs")
        truth, classes = self.dataset.truth(part), self.dataset.classes
        found = self.find(nets, self.dataset.images(part), LEAST, self.overlap)
        precision = mean_average_precision(truth, found, len(classes))
        curves = plots.curves_of(truth, found, len(classes))
        plots.precision_recall(
            run.plots / "precision-recall.png", curves, classes, precision["per_class"]["ap_50"]
        )
        shares = precision["per_class"]["ap_50"].tolist()
        figures = {f"{part}_ap@50_{name}": share for name, share in zip(classes, shares)}
        if self.dataset.skipped:
            figures["skipped"] = dict(self.dataset.skipped)
            run.write_text("skipped.txt", "\n".join(self.dataset.skips) + "\n")
        return figures

    @property
    def notes(self) -> Sequence[str]:
        """What was left out of the data, for whoever watches."""
        return [self.dataset.skip_note()] if self.dataset.skipped else []

    def predict(
        self,
        nets: Any,
        run: RunDirectory,
        *,
        inputs: Tuple[str, ...] = (),
        threshold: float = 0.5,
        overlap: float = 0.45,
        n: int = 16,
    ) -> dict[str, Any]:
        """Find objects in images; draw them into files in the run's folder ``predictions``.

        Each box is a row, in pixels of its image; an image in which nothing is found has one row
        without a class.

        Parameters
        ----------
        inputs
            Image files. Without any, held-out images of the data set are taken.
        threshold
            Least probability of a box.
        overlap
            IoU from which on the less sure of two boxes of one class is dropped.
        n
            Held-out images, at most.
        """
        for name, value in (("threshold", threshold), ("overlap", overlap)):
            if not 0 < value <= 1:
                raise ConfigError(f"--{name} {value} is out of range", "Above 0 and at most 1.")
        if n < 1:
            raise ConfigError(f"--n {n}: there is nothing to look at", "It is at least 1.")
        folder = run.path / "predictions"
        folder.mkdir(exist_ok=True)
        if inputs:
            pixels = np.stack([self.dataset.from_image(path) for path in inputs])
            names: Sequence[Any] = list(inputs)
            shown: Iterator[np.ndarray] = (plots.opened(path) for path in inputs)
            stems = [Path(path).stem for path in inputs]
        else:
            part = self._held_out()
            if part is None:
                raise ConfigError("the data set has no held-out images", "Give --input IMAGE.")
            pixels = self.dataset.images(part)[:n]
            names, shown = range(len(pixels)), iter(pixels)
            stems = [f"{part}-{i:04d}" for i in names]
        found = self.find(nets, pixels, threshold, overlap)
        rows, files = [], []
        for name, stem, image, boxes in zip(names, stems, shown, found):
            target, number = folder / f"{stem}.png", 2
            while target in files:  # two inputs of one name
                target, number = folder / f"{stem}-{number}.png", number + 1
            files.append(plots.drawn(target, image, boxes, self.dataset.classes))
            rows += self._rows(name, boxes, image.shape)
        return {"rows": rows, "files": files}

    def exports(self, nets: Any) -> Sequence[Exported]:
        """Images to what is said of each default box; and to boxes after non-maximum suppression.

        The second has an operator that ONNX has not, so it is written as a symbol only.
        """
        images = self.examples_of("valid", "test", "train")[0]
        given = [Input("image", images, IMAGES)]
        facts = {"classes": list(self.dataset.classes)}
        facts |= scaling(self.dataset.to_input, (*images.shape[2:], 3))
        anchors = Anchors(nets.anchors)
        return [
            Exported(
                [nets, anchors],
                lambda x: anchors(*nets(x)),
                given,
                {
                    "probability": "of background and of each class, for each default box",
                    "box": "left, top, right, bottom in shares of the image, for each default box",
                },
                name="boxes",
                about="All default boxes, before non-maximum suppression.",
                facts=facts,
            ),
            Exported(
                [nets, anchors],
                lambda x: anchors.suppressed(nets(x), LEAST, self.overlap),
                given,
                {
                    "found": "class (-1: none), probability, left, top, right, bottom in shares; "
                    "the surest first"
                },
                name="detector",
                about="Boxes after non-maximum suppression.",
                facts={**facts, "threshold": LEAST, "overlap": self.overlap},
                formats=("symbol",),
            ),
        ]

    def _rows(self, name: Any, boxes: np.ndarray, shape: Sequence[int]) -> list[dict[str, Any]]:
        """The boxes (p, 6) of one image of height and width ``shape`` as plain values."""
        height, width = shape[:2]
        sides = dict(zip(("left", "top", "right", "bottom"), (width, height, width, height)))
        if not len(boxes):
            return [{"image": name, "class": None, "probability": None, **dict.fromkeys(sides)}]
        return [
            {
                "image": name,
                "class": self.dataset.classes[int(kind)],
                "probability": float(sure),
                **{side: round(float(x) * n, 1) for (side, n), x in zip(sides.items(), corners)},
            }
            for kind, sure, *corners in boxes
        ]

    def _held_out(self) -> Optional[str]:
        """The part of the data that is looked at."""
        return next((s for s in ("valid", "test") if self.dataset.images(s) is not None), None)

    def _grid(self, nets: Any, path: Path, heading: str) -> None:
        part = self._held_out()
        if part is not None:
            pixels = self.dataset.images(part)[:SHOWN]
            found = self.find(nets, pixels, SURE, self.overlap)
            plots.grid(path, pixels, found, self.dataset.truth(part), self.dataset.classes, heading)


class Anchors(mx.gluon.HybridBlock):
    """What is said of default boxes, as boxes: `matching.decode` and `nms.detect` in a graph.

    Parameters
    ----------
    anchors
        (A, 4).
    """

    def __init__(self, anchors: np.ndarray) -> None:
        super().__init__()
        self.anchors = self.params.get_constant("anchors", anchors[None])
        self.initialize()

    def hybrid_forward(self, F: Any, scores: Any, offsets: Any, anchors: Any) -> Any:
        """Scores (n, A, K + 1) and offsets (n, A, 4) to probabilities and boxes of these shapes."""
        low, high = (F.slice_axis(anchors, axis=2, begin=i, end=i + 2) for i in (0, 2))
        sides = high - low  # (1, A, 2)
        moved, grown = (F.slice_axis(offsets, axis=2, begin=i, end=i + 2) for i in (0, 2))
        shift = F.broadcast_mul(moved * float(VARIANCES[0]), sides)
        centres = F.broadcast_add(shift, (low + high) / 2)
        stretch = F.exp(F.minimum(grown * float(VARIANCES[2]), 20.0))  # never infinite
        halves = F.broadcast_mul(stretch, sides) / 2
        boxes = F.concat(centres - halves, centres + halves, dim=2)
        return F.softmax(scores, axis=-1), boxes

    def suppressed(self, said: Any, threshold: float, overlap: float) -> Any:
        """What `nms.detect` gives of scores and offsets, arrays or symbols."""
        scores, offsets = said
        if isinstance(scores, nd.NDArray):
            default = self.anchors.data(scores.context)
        else:
            default = self.anchors.var()
        return detect(scores, offsets, default, threshold=threshold, overlap=overlap)
