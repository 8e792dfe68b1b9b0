"""The task that fine-tunes a pretrained network, beside one that learns from scratch.

Holds no networks, no data and no drawing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, List, Literal, Optional, Tuple, Union

import numpy as np

from dope.core.errors import ConfigError, did_you_mean
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory
from dope.core.task import Group, compiled
from dope.plugins.vision import finetune_plots, finetune_scores
from dope.plugins.vision.classify import Classifier
from dope.plugins.vision.finetune_body import hold, stages
from dope.plugins.vision.finetune_phases import Phases, weighted


class FineTuning(Classifier):
    """Fine-tune a pretrained network on other classes.

    The body of the network comes from a file (``model.params``, ``model.pretrained``), or learns in
    the first epochs on the data set's ``source`` classes; its head is new. In the profile ``quick``
    a second network learns the same classes from scratch beside it, on the same batches.

    Parameters
    ----------
    pretrain_epochs
        Epochs on the data set's source classes, where it has some and no parameters are given; the
        epochs that are left are those of fine-tuning. 0 for none.
    pretrain_rate
        Share of the learning rate that these have.
    freeze
        What fine-tuning leaves as it is: ``none``, the ``body``, or the first so many layers of
        the body that have parameters. Batch normalization in them keeps its moving averages.
    body_rate
        Share of the learning rate that the body has in fine-tuning.
    scratch
        Train a network of the same form from scratch beside it.
    scratch_rate
        Share of the learning rate that it has.
    class_weights
        What the loss of an example is multiplied with: a number for each class, or ``balanced``,
        so that each class counts alike, or ``none``.
    positive
        The class whose F1 is reported as ``f1``; default the mean over classes.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "vision.glyphs",
        "model": "vision.zoo",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "trainer": {"batch_size": 32, "epochs": 10, "monitor": "valid_f1"},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "task": {"pretrain_epochs": 6, "scratch": True, "scratch_rate": 4.0},
            "model": "vision.small_net",
            "optimizer": {"name": "adam", "learning_rate": 0.002},
            "trainer": {"epochs": 10},
        },
        "book": {
            "task": {"class_weights": [0.2, 1.2], "positive": "hotdog"},
            "dataset": {"name": "vision.hotdog", "valid": 0.1},
            "model": {
                "name": "vision.zoo",
                "network": "squeezenet1.1",
                "pretrained": True,
                "reuse": ["hotdog=713"],
            },
            "optimizer": {"name": "sgd", "learning_rate": 0.05, "wd": 0.002},
            "trainer": {"batch_size": 256, "epochs": 40},
        },
        "tiny": {
            "task": {"pretrain_epochs": 1, "scratch": True},
            "dataset": {
                "name": "vision.glyphs",
                "size": 32,
                "classes": 3,
                "source_classes": 3,
                "each": 8,
                "valid_each": 2,
                "test_each": 3,
                "source_each": 8,
            },
            "trainer": {"epochs": 2, "batch_size": 12},
        },
    }
    contract: ClassVar[Mapping[str, Any]] = {
        # Adam makes large what rounding differs by.
        "contexts": {
            "model": {"dropout": 0.0},
            "optimizer": {"name": "sgd", "learning_rate": 0.05},
        },
        "hybrid": {
            "model": {"dropout": 0.0},
            "optimizer": {"name": "sgd", "learning_rate": 0.05},
        },
    }

    def __init__(
        self,
        *,
        pretrain_epochs: int = 0,
        pretrain_rate: float = 1.0,
        freeze: Union[Literal["none", "body"], int] = "none",
        body_rate: float = 1.0,
        scratch: bool = False,
        scratch_rate: float = 1.0,
        class_weights: Union[Literal["none", "balanced"], List[float]] = "none",
        positive: Optional[str] = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        for name, value in (("pretrain_epochs", pretrain_epochs), ("body_rate", body_rate)):
            if value < 0:
                raise ConfigError(f"task.{name} is {value}", "It is 0 or more.")
        for name, value in (("pretrain_rate", pretrain_rate), ("scratch_rate", scratch_rate)):
            if value <= 0:
                raise ConfigError(f"task.{name} is {value}", "It is above 0.")
        if isinstance(freeze, int) and freeze < 0:
            raise ConfigError(f"task.freeze is {freeze}", "It is none, body, or 0 or more.")
        self.pretrain_epochs, self.pretrain_rate = pretrain_epochs, pretrain_rate
        self.freeze, self.body_rate = freeze, body_rate
        self.scratch, self.scratch_rate = scratch, scratch_rate
        self.class_weights, self.positive = class_weights, positive
        self._steps = self._pretrain_steps = 0
        self._tunes: Optional[bool] = None  # whether the body is set up for fine-tuning

    def prepare(self) -> None:
        """Check what the options say of classes."""
        classes = self.dataset.classes
        if self.positive is not None and self.positive not in classes:
            raise ConfigError(
                f"task.positive: '{self.positive}' is no class of the data set",
                did_you_mean(self.positive, classes)
                or f"Its classes are {', '.join(classes[:20])}.",
            )
        given = self.class_weights
        if isinstance(given, list) and (len(given) != len(classes) or min(given) <= 0):
            raise ConfigError(
                f"task.class_weights has {len(given)} numbers for {len(classes)} classes",
                "Give one above 0 for each, in the order of the classes, or balanced.",
            )

    def build(self) -> Any:
        """The network; the head for the old classes; the network that learns from scratch."""
        net = self.model(self.dataset)
        if not (hasattr(net, "features") and hasattr(net, "output")):
            raise ConfigError(
                f"model {self.parts.get('model')} does not fit task vision.finetune: it has no "
                "features and output",
                "Choose vision.zoo or vision.small_net.",
            )
        nets = {"net": net}
        if self._pretrains(net):
            nets["source"] = self._plain(self.dataset.source).output
        if self.scratch:
            nets["scratch"] = self._plain(self.dataset)
        self._net = net
        self._stages()  # refuses more than there are
        return nets

    def _pretrains(self, net: Any) -> bool:
        """Whether there is a phase on the source classes."""
        if not self.pretrain_epochs or getattr(net, "pretrained", False):
            return False
        if getattr(self.dataset, "source", None) is None:
            raise ConfigError(
                f"nothing is pretrained: data set {self.parts.get('dataset')} has no source "
                "classes, and the model no parameters",
                "Give model.params=FILE or model.pretrained=true; or task.pretrain_epochs=0 to "
                "learn from scratch.",
            )
        if self.options.epochs <= self.pretrain_epochs:
            raise ConfigError(
                f"trainer.epochs={self.options.epochs} leaves none after "
                f"task.pretrain_epochs={self.pretrain_epochs}",
                "Give more epochs in all.",
            )
        return True

    def _plain(self, dataset: Any) -> Any:
        """The same network without parameters from elsewhere."""
        keywords = {**getattr(self.model, "keywords", {})}
        keywords = {k: v for k, v in keywords.items() if k not in ("params", "pretrained", "reuse")}
        return getattr(self.model, "func", self.model)(dataset, **keywords)

    def _stages(self) -> tuple[list[Any], list[Any]]:
        """Layers of the body that fine-tuning leaves alone, and those that it changes."""
        return stages(self._net.features, self.freeze)

    def groups(self, nets: Any) -> Mapping[str, Group]:
        """What learns together: body and old head; new head and body; all from scratch."""
        made = {"main": self._group([*self._stages()[1], self._net.output])}
        if "source" in nets:
            both = [self._net.features, nets["source"]]
            made = {"source": self._group(both, self.pretrain_rate), **made}
        if "scratch" in nets:
            made["scratch"] = self._group([nets["scratch"]], self.scratch_rate)
        return made

    def _group(self, nets: list[Any], share: float = 1.0) -> Group:
        options = {k: v for k, v in self.optimizer.items() if k != "name"}
        if share != 1.0:
            options["learning_rate"] = share * options["learning_rate"]
        return Group(nets, self.optimizer["name"], options, self.options.clip)

    def data(self, split: str) -> Any:
        """Batches of images and labels, and of weights where classes have some.

        For training they begin with those of the source classes, if there are some to learn first.
        The network takes its parameters over here, before the first step.
        """
        batches = self._weighted(self.dataset.batches(split, self.options.batch_size))
        if split != "train" or batches is None:
            return batches
        if not self._steps and getattr(self._net, "pretrained", False):
            self._net.start()
        if self._pretrains(self._net):
            old = self.dataset.source.batches("train", self.options.batch_size)
            batches = Phases(old, batches, lambda: self._early)
            self._pretrain_steps = self.pretrain_epochs * len(batches)
        return batches

    def _weighted(self, batches: Any) -> Any:
        """Batches with a third array: the weight of each example."""
        if self.class_weights == "none" or batches is None:
            return batches
        if self.class_weights == "balanced":
            labels, K = self.dataset.split("train")[1], len(self.dataset.classes)
            weights = finetune_scores.balanced(labels, K)
        else:
            weights = np.array(self.class_weights)
        return weighted(batches, weights)

    @property
    def _early(self) -> bool:
        """Whether the next step is one on the source classes."""
        return self._steps < self._pretrain_steps

    def step(self, engine: Any, batch: Any) -> Mapping[str, Any]:
        """Body and old head learn, or body and new head, and the other network beside them."""
        early = self._early
        self._tune(not early)
        if early:
            found = engine.minimize("source", self._source_loss, batch)
            found = {f"source_{key}": value for key, value in found.items()}
        else:
            found = dict(engine.minimize("main", self._net_loss, batch))
            if "scratch" in engine.nets:
                beside = engine.minimize("scratch", self._scratch_loss, batch)
                found.update((f"scratch_{key}", value) for key, value in beside.items())
        self._steps += 1
        return found

    def _tune(self, tunes: bool) -> None:
        """Give the body its share of the learning rate, and hold still what is frozen."""
        if tunes != self._tunes:
            self._tunes = tunes
            for parameter in self._net.features.collect_params().values():
                parameter.lr_mult = self.body_rate if tunes else 1.0
            hold(self._stages()[0], tunes)

    @compiled
    def _net_loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        return self._judged(nets["net"], shard)

    @compiled
    def _scratch_loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        return self._judged(nets["scratch"], shard)

    @compiled
    def _source_loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        features, head = nets["net"].features, nets["source"]
        return self._judged(lambda x: head(features(x)), shard)

    def _judged(self, net: Any, shard: Any) -> dict[str, Any]:
        """Loss, weighted, and accuracy of each image: (n,)."""
        images, labels, *weights = shard
        scores = net(images)  # (n, K)
        losses = self._losses(scores, labels, *weights)
        return {"loss": losses, "accuracy": scores.argmax(axis=1) == labels}

    def _losses(self, scores: Any, labels: Any, *weights: Any) -> Any:
        losses = self.criterion(scores, labels)
        return losses * weights[0] if weights else losses

    def evaluate(self, engine: Any) -> dict[str, float]:
        """Loss, accuracy and F1 on held-out images; of the source classes while these learn."""
        if 0 < self._steps <= self._pretrain_steps:
            sums: dict[str, Sum] = {}
            for batch in self.dataset.source.batches("valid", self.options.batch_size):
                for key, value in engine.total(self._source_loss, batch).items():
                    sums[key] = sums.get(key, Sum()) + value
            return {f"valid_source_{key}": value.mean() for key, value in sums.items()}
        figures: dict[str, float] = {}
        for split in ("valid", "test"):
            batches = self.data(split)
            for name in ("net", "scratch") if batches is not None else ():
                if name in engine.nets:
                    begin = split if name == "net" else f"{split}_{name}"
                    found = self._figures(engine, name, batches)
                    figures.update((f"{begin}_{key}", value) for key, value in found.items())
        return figures

    def _figures(self, engine: Any, name: str, batches: Any) -> dict[str, float]:
        """Mean loss, accuracy, and F1 of the positive class or its mean over classes."""

        def seen(nets: Any, shard: Any) -> tuple[Any, Any, Any]:
            scores = nets[name](shard[0])
            return shard[1], scores.argmax(axis=1), self._losses(scores, *shard[1:])

        found = [each for batch in batches for each in engine.gather(seen, batch)]
        read = [np.concatenate([part.asnumpy() for part in parts]) for parts in zip(*found)]
        labels, predicted, losses = read
        K = len(self.dataset.classes)
        scores = finetune_scores.f1_scores(finetune_scores.counted(labels, predicted, K))
        f1 = finetune_scores.macro(scores)
        if self.positive is not None:
            f1 = float(np.nan_to_num(scores[self.dataset.classes.index(self.positive)]))
        mean = float(losses.mean(dtype=np.float64))
        return {"loss": mean, "accuracy": float((labels == predicted).mean()), "f1": f1}

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """F1 and average precision of each class; curves, mistakes; what was skipped."""
        super().report(nets["net"], run)
        figures: dict[str, Any] = {}
        part = "test" if self.dataset.split("test") else "valid"
        found, classes = self.dataset.split(part), self.dataset.classes
        if found:
            pixels, labels = found
            probability = self._probabilities(nets["net"], self._inputs(pixels))
            matrix = finetune_scores.counted(labels, probability.argmax(1), len(classes))
            curves = [
                finetune_scores.precision_recall(labels == k, probability[:, k])
                for k in range(len(classes))
            ]
            finetune_plots.precision_recall(
                run.plots / "precision-recall.png",
                curves,
                classes,
                f"{len(labels):,} {part} images",
            )
            scores = np.nan_to_num(finetune_scores.f1_scores(matrix)).tolist()
            figures[f"{part}_f1_by_class"] = dict(zip(classes, scores))
            figures[f"{part}_ap_by_class"] = {
                name: curve.average for name, curve in zip(classes, curves) if curve.total
            }
        before = self.pretrain_epochs if "source" in nets else 0
        finetune_plots.transfer(run.plots / "transfer.png", run.metrics(), before)
        if getattr(self.dataset, "skipped", None):
            figures["skipped"] = dict(self.dataset.skipped)
            run.write_text("skipped.txt", "\n".join(self.dataset.skips) + "\n")
        return figures

    def predict(
        self, nets: Any, run: RunDirectory, *, inputs: Tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """True and likeliest classes of the data set's held-out images, or likeliest of others.

        Parameters
        ----------
        inputs
            Image files.
        """
        return super().predict(nets["net"], run, inputs=inputs)

    def state(self) -> Mapping[str, np.ndarray]:
        """Steps so far, and those of the phase on the source classes."""
        return {"steps": np.array([self._steps, self._pretrain_steps])}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go back to what `state` returned."""
        self._steps, self._pretrain_steps = (int(each) for each in arrays["steps"])
