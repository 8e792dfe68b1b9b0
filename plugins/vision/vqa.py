"""The task of answering questions about images: learning, baselines, figures by kind, answers.

Holds no network and no data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional, Tuple

import numpy as np

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import Exported, Input
from dope.core.rundir import RunDirectory
from dope.core.task import Group, Task, compiled
from dope.plugins.vision import plots, vqa_plots
from dope.plugins.vision.scaling import IMAGES, scaling
from dope.plugins.vision.scenes import Asked

BLIND = {"image_only": "image", "question_only": "question"}
SHOWN = 8  # images in a picture
MATRIX = 60  # answers up to which confusions are drawn


class Answering(Task):
    """Answer questions about images.

    Parameters
    ----------
    baselines
        Train the same network for the image alone, and for the question alone, beside it, on the
        same batches: what it has to beat.
    top
        How many answers a prediction names, the likeliest first.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "answers": (
            "Questions about held-out images with the answer and its probability; wrong ones "
            "are orange."
        ),
        "kinds": (
            "Blue must stand out above green and orange: else the model answers from the "
            "question or the image alone, and has not joined them."
        ),
        "confusion": (
            "Blocks along the diagonal are kinds of answers. Orange inside a block is a wrong "
            "answer of the right kind; outside, the question was not understood."
        ),
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "vision.vqa_scenes",
        "model": "vision.vqa_bilinear",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "adam", "learning_rate": 0.002},
        "trainer": {"batch_size": 32, "epochs": 12, "schedule": "cosine"},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "dataset": {"name": "vision.vqa_scenes", "train": 5000, "valid": 200},
            "trainer": {"epochs": 3},
        },
        "full": {},
        "book": {
            "dataset": "vision.vqa_archive",
            "model": {"name": "vision.vqa_bilinear", "sketch": 10000, "hidden": 8192},
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
            "task": {"baselines": False},
            "trainer": {"batch_size": 64, "epochs": 10, "schedule": "constant"},
        },
        "tiny": {
            "dataset": {
                "name": "vision.vqa_scenes", "train": 48, "valid": 12, "test": 12, "size": 18,
            },
            "model": {
                "name": "vision.vqa_bilinear", "sketch": 48, "hidden": 12, "channels": [4, 4],
                "words": 6, "states": 8,
            },
            "trainer": {"epochs": 2, "batch_size": 12},
        },
    }  # fmt: skip
    contract: ClassVar[Mapping[str, Any]] = {
        "contexts": {"model": {"batch_norm": False, "dropout": 0.0}},
        "hybrid": {"model": {"dropout": 0.0}},
    }

    def __init__(self, *, baselines: bool = True, top: int = 3) -> None:
        if top < 1:
            raise ConfigError(f"task.top={top} is out of range", "It is at least 1.")
        self.baselines, self.top = baselines, top

    def build(self) -> Any:
        """The network, and one for each sense alone."""
        net = self.model(self.dataset)
        nets = {"net": net}
        if self.baselines and getattr(net, "senses", ()) == ["image", "question"]:
            nets.update((name, net.alone(sense)) for name, sense in BLIND.items())
        return nets

    def groups(self, nets: Any) -> Mapping[str, Group]:
        """One for each network: none knows of the others."""
        options = {k: v for k, v in self.optimizer.items() if k != "name"}
        return {
            name: Group([net], self.optimizer["name"], options, self.options.clip)
            for name, net in nets.items()
        }

    def step(self, engine: Any, batch: Any) -> Mapping[str, Any]:
        """Each network learns from the same batch."""
        found: dict[str, Any] = {}
        for name in engine.nets:
            sums = engine.minimize(name, self._losses(name), batch)
            found.update((_key(name, each), value) for each, value in sums.items())
        return found

    def evaluate(self, engine: Any) -> dict[str, float]:
        """Loss and accuracy of each network on held-out questions."""
        figures: dict[str, float] = {}
        for split in ("valid", "test"):
            totals: dict[str, Any] = {}
            for batch in self.data(split) or ():
                for name in engine.nets:
                    for each, value in engine.total(self._losses(name), batch).items():
                        key = f"{split}_{_key(name, each)}"
                        totals[key] = totals[key] + value if key in totals else value
            figures.update((key, value.mean()) for key, value in totals.items())
        return figures

    def _losses(self, name: str) -> Any:
        return getattr(self, f"_{name}_loss")

    @compiled
    def _net_loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        return self._judged(nets["net"], shard)

    @compiled
    def _image_only_loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        return self._judged(nets["image_only"], shard)

    @compiled
    def _question_only_loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        return self._judged(nets["question_only"], shard)

    def _judged(self, net: Any, shard: Any) -> Any:
        """Loss and accuracy of each image (n,): the means over its Q questions."""
        images, questions, answers = shard
        scores = net(*_seen(net, images, questions))  # (n Q, K)
        answers = answers.reshape((-1,))
        losses = self.criterion(scores, answers)
        right = scores.argmax(axis=1) == answers
        Q = self.dataset.each
        return {
            "loss": losses.reshape((-1, Q)).mean(axis=1),
            "accuracy": right.reshape((-1, Q)).mean(axis=1),
        }

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Accuracy by kind of question beside the baselines, confusions, and some answers."""
        name, part = self._held_out()
        if part is None:
            return {}
        given = {who: self._probabilities(net, part) for who, net in nets.items()}
        right = {who: p.argmax(axis=2) == part.answers for who, p in given.items()}
        right["most_frequent"] = self._most_frequent()[part.kinds] == part.answers
        right = {"model": right.pop("net"), **right}
        table = _by_kind(right, part.kinds, self.dataset.kinds)
        count = f"{part.answers.size:,} {name} questions"
        vqa_plots.by_kind(run.plots / "kinds.png", table, f"Answers to {count}")
        self._plot(run, part, given["net"], count)
        return {"accuracy_by_kind": table}

    def predict(
        self,
        nets: Any,
        run: RunDirectory,
        *,
        images: Tuple[str, ...] = (),
        questions: Tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Likeliest answers to questions about images, or to those of the held-out part.

        Parameters
        ----------
        images
            Image files.
        questions
            Each is asked of each image. The words have to be those of the training questions.
        """
        if images or questions:
            asked = self._asked(images, questions)
            known = [{"image": i, "question": q} for i in images for q in questions]
        else:
            found = self._held_out()[1]
            if found is None:
                raise ConfigError(
                    "the data set has no held-out questions", "Give --image FILE --question TEXT."
                )
            asked, known = found, self._known(found)
        probability = self._probabilities(nets["net"], asked)
        return {"rows": self._rows(known, probability.reshape(len(known), -1))}

    def exports(self, nets: Any) -> Sequence[Exported]:
        """Images and questions to probabilities of answers."""
        images, questions = self.examples_of("test", "valid", "train")[:2]
        net, known = nets["net"], self.dataset.vocabulary
        words = "features" if known is None else "numbers of words, filled up with 0 from the left"
        given = {
            "image": Input("image", images, IMAGES if images.ndim == 4 else "features"),
            "question": Input("question", questions, f"{self.dataset.each} a row; {words}"),
        }
        facts: dict[str, Any] = {"classes": [str(each) for each in self.dataset.classes]}
        if images.ndim == 4:
            facts |= scaling(self.dataset.to_input, self.dataset.image_shape)
        if known is not None:
            facts["vocabulary"] = list(known.words)
        call, taken = net.portable() if hasattr(net, "portable") else (net, [net])
        return [
            Exported(
                taken,
                lambda *inputs: call(*inputs).softmax(),
                [given[sense] for sense in getattr(net, "senses", given)],
                {"probability": "of each answer, a row for each question"},
                about="Answers to questions about images.",
                facts=facts,
                reference=lambda *inputs: net(*inputs).softmax(),
            )
        ]

    def _held_out(self) -> tuple[str, Optional[Asked]]:
        """The test part, or the validation part where there is none."""
        test = self.dataset.split("test")
        return ("test", test) if test is not None else ("valid", self.dataset.split("valid"))

    def _asked(self, images: Sequence[str], questions: Sequence[str]) -> Asked:
        """Every question about every image."""
        if self.dataset.vocabulary is None:
            raise ConfigError(
                "this model was trained on features, and reads neither images nor words",
                "Leave --image and --question out, or train on vision.vqa_scenes.",
            )
        if not images or not questions:
            absent = "--question" if images else "--image"
            raise ConfigError(f"{absent} is missing", "Give --image FILE --question TEXT.")
        numbers = np.stack([self.dataset.vocabulary.numbers(text) for text in questions])
        pixels = np.stack([self.dataset.from_image(path) for path in images])
        none = np.zeros((len(images), len(questions)), np.int32)
        return Asked(pixels, np.stack([numbers] * len(images)), none, none, None)

    def _known(self, part: Asked) -> list[dict[str, Any]]:
        """What is known of each held-out question: image, words, kind, answer."""
        rows = []
        for i, j in np.ndindex(part.answers.shape):
            row: dict[str, Any] = {"image": i}
            if part.texts is not None:
                row["question"] = part.texts[i][j]
            row["kind"] = self.dataset.kinds[part.kinds[i, j]]
            rows.append({**row, "is": self.dataset.classes[part.answers[i, j]]})
        return rows

    def _rows(
        self, known: Sequence[Mapping[str, Any]], probability: np.ndarray
    ) -> list[dict[str, Any]]:
        """What is known of each question, followed by its likeliest answers."""
        rows = []
        for begun, p in zip(known, probability):
            row = dict(begun)
            for rank, k in enumerate(np.argsort(-p, kind="stable")[: self.top].tolist(), 1):
                suffix = "" if rank == 1 else f"_{rank}"
                row[f"answer{suffix}"] = self.dataset.classes[k]
                row[f"probability{suffix}"] = float(p[k])
            rows.append(row)
        return rows

    def _probabilities(self, net: Any, asked: Asked) -> np.ndarray:
        """p(answer | image, question), (N, M, K), of M questions about each of N images."""
        context = next(iter(net.collect_params().values())).list_ctx()[0]
        Q, (N, M) = self.dataset.each, asked.answers.shape
        more = [(0, 0), (0, -M % Q), *[(0, 0)] * (asked.questions.ndim - 2)]
        questions = np.pad(asked.questions, more)  # a network takes Q at a time
        size = self.options.batch_size or 64
        found = np.empty((N, questions.shape[1], len(self.dataset.classes)), np.float32)
        for start in range(0, N, size):
            rows = slice(start, start + size)
            images = mx.nd.array(self.dataset.to_input(asked.images[rows]), ctx=context)
            for first in range(0, questions.shape[1], Q):
                some = mx.nd.array(questions[rows, first : first + Q], ctx=context)
                scores = net(*_seen(net, images, some)).softmax()
                found[rows, first : first + Q] = scores.asnumpy().reshape(len(images), Q, -1)
        return found[:, :M]

    def _most_frequent(self) -> np.ndarray:
        """The answer that training gives most often, of each kind of question."""
        part, K = self.dataset.split("train"), len(self.dataset.classes)
        counts = np.zeros((len(self.dataset.kinds), K), np.int64)
        np.add.at(counts, (part.kinds, part.answers), 1)
        return counts.argmax(axis=1)

    def _plot(self, run: RunDirectory, part: Asked, probability: np.ndarray, count: str) -> None:
        """Confusions, where they can be seen, and some images with their questions."""
        classes, predicted = self.dataset.classes, probability.argmax(axis=2)
        if len(classes) <= MATRIX:
            matrix = np.zeros((len(classes), len(classes)), int)
            np.add.at(matrix, (part.answers, predicted), 1)
            accuracy = np.trace(matrix) / matrix.sum()
            heading = f"accuracy {accuracy:.4f} on {count}"
            plots.confusion(run.plots / "confusion.png", matrix, classes, heading)
        if part.texts is None or part.images.ndim != 4:
            return
        sure = probability.max(axis=2)
        told = [
            [vqa_plots.Told(text, classes[p], s, classes[a]) for text, p, s, a in zip(*each)]
            for each in zip(part.texts[:SHOWN], predicted, sure, part.answers)
        ]
        vqa_plots.answers(
            run.plots / "answers.png", part.images[:SHOWN], told, "The first held-out images"
        )


def _by_kind(
    right: Mapping[str, np.ndarray], kinds: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Share of right answers of each kind of question, and of all; who answers is a column."""
    places = {name: kinds == k for k, name in enumerate(names) if (kinds == k).any()}
    if len(places) > 1:
        places["all"] = np.ones_like(kinds, bool)
    return {
        name: {
            **{who: float(hits[place].mean()) for who, hits in right.items()},
            "questions": int(place.sum()),
        }
        for name, place in places.items()
    }


def _seen(net: Any, images: Any, questions: Any) -> list[Any]:
    """What a network looks at."""
    given = {"image": images, "question": questions}
    return [given[sense] for sense in getattr(net, "senses", given)]


def _key(name: str, figure: str) -> str:
    return figure if name == "net" else f"{name}_{figure}"
