"""What the tasks of language models have in common: streams, carried states, figures, samples.

Holds neither networks nor the reading of text.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Optional, Tuple

import numpy as np

from dope.core.backend import nd
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import Exported, Input
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory
from dope.core.task import Task, compiled
from dope.plugins.nlp.batching import Streams, held_out
from dope.plugins.nlp.sampling import following
from dope.plugins.nlp.text import PARTS, UNKNOWN, TextSet


class LanguageTask(Task):
    """Predict what comes next in a text.

    A network is called with inputs (T, N) and states, and gives logits (N, T, V), the new states
    and whatever else `penalty` takes. One with a method ``unroll`` is told T before it is compiled.
    One that ``scores`` is called with targets (T, N) too where the loss is the plain cross-entropy
    and is compiled; it then gives the loss of each stream (N) in place of logits.

    The loss of a stream is its mean over the times of a batch, and its states go on from batch to
    batch, cut off from the gradient: truncated backpropagation through time. They are zero at the
    beginning of an epoch. Logged losses are means over characters or words, in nats, exactly.
    Evaluation reads the held-out text in ``task.streams`` stretches, whatever the batch size is.
    """

    captions = {
        "samples": (
            "Text that the model writes after more and more epochs: first letters and words, "
            "then phrases. Passages that stand in the training text word for word are learned "
            "by heart."
        ),
    }

    batch_axis = 1  # time first
    level: ClassVar[Literal["char", "word"]] = "char"
    unit: ClassVar[str] = "characters"

    def __init__(
        self,
        *,
        steps: int,
        streams: int,
        prefix: str,
        length: int,
        temperature: float,
        top_k: Optional[int],
    ) -> None:
        self.steps, self.streams = steps, streams
        self.prefix, self.length = prefix, length
        self.temperature, self.top_k = temperature, top_k
        for name, value in {"steps": steps, "streams": streams, "top_k": top_k}.items():
            insist(value is None or value >= 1, name, value, "at least 1")
        insist(length >= 0, "length", length, "at least 0")
        insist(temperature >= 0, "temperature", temperature, "at least 0")

    def prepare(self) -> None:
        """Read the text and number it."""
        if not isinstance(self.dataset, TextSet):
            raise ConfigError(
                f"dataset {self.parts.get('dataset')} holds no text",
                "Language models learn from nlp.text and the like.",
            )
        self.number()

    def number(self) -> None:
        """Number the characters or words of the data set."""
        self.dataset.number(self.level)

    def data(self, split: str) -> Optional[Streams]:
        """The training text as streams; of held-out parts likewise, as far as they suffice."""
        ids = self.dataset.ids(split) if split in PARTS else None
        if ids is None:
            return None
        streams = self.options.batch_size or 32
        if split != "train":
            streams = max(1, min(streams, (len(ids) - 1) // self.steps))
            return Streams(ids, streams, min(self.steps, len(ids) - 1), self.unit)
        return Streams(ids, streams, self.steps, self.unit)

    @compiled
    def loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        """Mean over the times of each stream, (N), and the states to go on with."""
        inputs, targets = shard  # (T, N)
        states = nets.begin(inputs) if carry is None else carry
        if self._scored(nets, inputs):
            vector, states, *rest = nets(inputs, states, targets)
        else:
            logits, states, *rest = nets(inputs, states)
            vector = self.criterion(logits, targets.transpose())
        penalty = self.penalty(rest)
        if penalty is not None:
            return {"loss": vector + penalty, "nats": vector}, states
        return {"loss": vector}, states

    def _scored(self, nets: Any, inputs: Any) -> bool:
        """Whether the network is to give the plain cross-entropy itself, in a compiled loss."""
        plain = self.parts.get("loss") == "losses.softmax_cross_entropy"
        plain = plain and not self.criterion.label_smoothing
        return plain and getattr(nets, "scores", False) and not isinstance(inputs, nd.NDArray)

    def penalty(self, rest: Sequence[Any]) -> Any:
        """What is added to the loss of each stream, (N), in training; None for nothing."""
        return None

    def step(self, engine: Any, batch: Any) -> Mapping[str, Sum]:
        """One step; sums are over characters or words, so that a shorter last batch counts less."""
        steps = batch[0].shape[0]
        if hasattr(engine.nets, "unroll"):
            engine.nets.unroll(steps)
        found = engine.minimize("main", self.loss, batch)
        return {key: each.times(steps) for key, each in found.items()}

    def evaluate(self, engine: Any) -> dict[str, float]:
        """Nats, and what follows from them, of all held-out characters or words."""
        figures = {}
        for split in ("valid", "test"):
            ids = self.dataset.ids(split)
            if ids is not None and len(ids) > 1:
                nats = self.nats(engine, ids)
                for name, value in {"loss": nats, **self.figures(nats)}.items():
                    figures[f"{split}_{name}"] = value
        return figures

    def figures(self, nats: float) -> dict[str, float]:
        """Figures beside the loss, from the mean loss in nats."""
        return {"perplexity": math.exp(min(nats, 700.0))}

    def nats(self, engine: Any, ids: np.ndarray) -> float:
        """Mean of -log p(next | all before it in its stretch) over a text in numbers (n)."""
        total, states = Sum(), ()
        for inputs, targets in held_out(ids, self.streams, self.steps):
            found = engine.gather(_scored, (inputs, targets, *states))
            for sums, _ in found:
                total += Sum(sums, 0)
            here = engine.contexts[0]
            states = tuple(
                nd.concat(*[each.as_in_context(here) for each in parts], dim=1)
                for parts in zip(*[states for _, states in found])
            )
        total.count = len(ids) - 1
        return total.mean()

    def sample(self, nets: Any, run: RunDirectory, epoch: int) -> None:
        """Write what the model makes up by now into ``samples/``."""
        if self.length:
            text = self.write(nets, self.prefix, np.random.default_rng(epoch))
            run.write_text(f"samples/epoch-{epoch:04d}.txt", text + "\n")

    def write(self, net: Any, prefix: str, rng: np.random.Generator) -> str:
        """``prefix`` and the ``length`` characters or words that the model lets follow."""
        begin = self.dataset.encode(prefix)
        if not len(begin):  # as at the beginning of a line
            begin = self.dataset.encode("\n")
        never = [i for i, unit in enumerate(self.dataset.vocabulary) if unit == UNKNOWN]
        drawn = following(net, begin, rng, self.temperature, self.top_k, never)
        new = list(itertools.islice(drawn, self.length))
        text = self.dataset.decode(new, prefix)
        return text if self.level == "char" else text.strip()

    def exports(self, nets: Any) -> Sequence[Exported]:
        """What was read and states to logits of what comes next, and the states to go on with."""
        unrolled = getattr(nets, "scratch", False)  # one graph then serves one length only
        T, N = (1 if unrolled else 4), 3
        if unrolled:
            nets.unroll(T)
        ids = np.arange(T * N, dtype=np.float32).reshape(T, N) % len(self.dataset.vocabulary)
        free = {1: "n"} if unrolled else {0: "t", 1: "n"}
        read = Input("read", ids, f"numbers of {self.unit}; times, texts", free)
        rng = np.random.default_rng(0)
        states = [
            Input(
                f"state{i}",
                rng.uniform(-0.5, 0.5, state.shape).astype(np.float32),
                "of a layer: zeros at the beginning of a text, then what came out before",
                {1: "n"},
            )
            for i, state in enumerate(nets.begin(nd.array(ids)), 1)
        ]

        def following(x: Any, *before: Any) -> list[Any]:
            logits, after = nets(x, list(before))[:2]
            return [logits, *after]

        after = {f"{each.name}_after": "the state to go on with" for each in states}
        return [
            Exported(
                [nets],
                following,
                [read, *states],
                {"logits": f"of each of the {self.unit}; texts, times, vocabulary", **after},
                about=f"Predicts the next of the {self.unit}.",
                facts={"vocabulary": list(self.dataset.vocabulary)},
            )
        ]

    def predict(
        self,
        nets: Any,
        run: RunDirectory,
        *,
        prefix: Optional[str] = None,
        inputs: Tuple[str, ...] = (),
        length: Optional[int] = None,
        temperature: Optional[float] = None,
        top_k: Optional[int] = None,
    ) -> dict[str, Any]:
        """The text that the model lets follow a prefix, or several.

        Parameters
        ----------
        prefix
            What the text begins with; default that of the task.
        inputs
            Several of them, in place of one.
        length
            Characters or words that follow; default that of the task.
        temperature
            Below 1 surer, above 1 wilder, 0 always the likeliest; default that of the task.
        top_k
            Draw among the likeliest so many only; default that of the task.
        """
        given = {"length": length, "temperature": temperature, "top_k": top_k}
        for name, value in given.items():
            if value is not None:
                insist(value >= (name == "top_k"), name, value, f"at least {int(name == 'top_k')}")
                setattr(self, name, value)
        rng = np.random.default_rng(np.random.randint(1 << 31))  # dope has seeded it
        begun = inputs or (self.prefix if prefix is None else prefix,)
        return {"rows": [{"prefix": each, "text": self.write(nets, each, rng)} for each in begun]}


def _scored(net: Any, shard: Any) -> tuple[Any, list[Any]]:
    """The sum of -log p(target) over a shard, (1,), and the new states."""
    inputs, targets, *states = shard
    logits, states = net(inputs, states or net.begin(inputs))[:2]
    targets = targets.transpose()  # (N, T)
    logs = nd.pick(nd.log_softmax(logits, axis=-1), targets, axis=-1)
    return -(logs * (targets >= 0)).sum(), states


def insist(good: bool, name: str, value: Any, wanted: str) -> None:
    """Refuse an option of a task that is out of its range."""
    if not good:
        raise ConfigError(f"task.{name}={value} is out of range", f"It is {wanted}.")
