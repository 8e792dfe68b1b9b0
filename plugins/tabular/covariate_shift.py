"""The task that corrects covariate shift: weights from a classifier, and what they are good for.

Holds the learning; the data are in shifted.py, the pictures in shift_plots.py, and the same
solved without steps in reweighting.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, Optional

import numpy as np

from dope.core.backend import mx, nd
from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import Exported, Input
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory
from dope.core.task import Group, Task, compiled
from dope.plugins.tabular import reweighting, shift_plots
from dope.plugins.tabular.dense import MLP

HIDDEN = (32,)  # units of the classifier that is a network
WAYS = ("plain", "corrected", "oracle")


class CovariateShift(Task):
    """Learn where values are known what is asked elsewhere, by weighting examples.

    A classifier learns to tell shifted inputs from those with values. Where there are as many of
    either, the exponential of its logit f estimates the ratio of their densities. One model learns
    with the weights min(exp f, clip), a second one without weights for comparison, and, where
    the data set knows the true ratio, a third one with that, clipped the same way.

    All learn in the same steps. While the classifier settles, so do the weights; what the model
    has learned with the first ones is forgotten.

    Parameters
    ----------
    classifier
        Logistic regression on the inputs (linear), on inputs and squares (quadratic: exact for
        normal distributions with independent inputs), or a network with one hidden layer (mlp).
    clip
        c, the largest weight; null for no limit.
    rate
        Learning rate of the classifier as a multiple of ``optimizer.learning_rate``.
    problems
        New data sets on which the picture compares the errors, solved without steps; 0 for none.

    Notes
    -----
    Weights of this form: Shimodaira (2000) with the ratio known; by a classifier, Bickel, Bruckner
    and Scheffer, "Discriminative learning for differing training and test distributions" (2007).
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "shift": (
            "Left: learned weights should follow the true ratio of densities. Middle: the "
            "corrected line fits where it is asked, not where examples were. Right: lines that "
            "fall from the first to the second column are problems that the correction helped."
        ),
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "tabular.shifted",
        "model": {"name": "tabular.linear", "init": "zero"},
        "loss": "losses.l2",
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "trainer": {"batch_size": 100, "schedule": "cosine"},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {"trainer": {"epochs": 60}},
        "book": {"trainer": {"epochs": 60}},
        "tiny": {
            "task": {"problems": 1},
            "dataset": {"name": "tabular.shifted", "train": 48, "test": 16},
            "trainer": {"epochs": 2, "batch_size": 12},
        },
    }

    def __init__(
        self,
        *,
        classifier: Literal["linear", "quadratic", "mlp"] = "quadratic",
        clip: Optional[float] = 20.0,
        rate: float = 2.0,
        problems: int = 20,
    ) -> None:
        if clip is not None and not clip > 0:
            raise ConfigError(f"task.clip={clip} is out of range", "It is above 0, or null.")
        if not rate > 0:
            raise ConfigError(f"task.rate={rate} is out of range", "It is above 0.")
        if problems < 0:
            raise ConfigError(f"task.problems={problems} is out of range", "It is 0 or more.")
        self.classifier, self.clip, self.rate, self.problems = classifier, clip, rate, problems

    def prepare(self) -> None:
        """Read the points.

        Raises
        ------
        ConfigError
            The data set has no shifted inputs.
        """
        found = self.dataset.split("train") if hasattr(self.dataset, "split") else ()
        if len(found or ()) != 3:
            raise ConfigError("the data set has no shifted inputs", "Use tabular.shifted.")
        self._ways = WAYS if hasattr(self.dataset, "ratio") else WAYS[:2]

    def build(self) -> Any:
        """The classifier, and a model for each way to weight."""
        x, _, z = self.dataset.split("train")
        return {
            "classifier": Telling(np.concatenate([x, z]), self.classifier),
            **{way: self.model(self.dataset) for way in self._ways},
        }

    def groups(self, nets: Any) -> Mapping[str, Group]:
        """The classifier, and the models, each with an optimizer of its own."""
        name, clip = self.optimizer["name"], self.options.clip
        options = {key: value for key, value in self.optimizer.items() if key != "name"}
        own = dict(options)
        if options.get("learning_rate") is not None:
            own["learning_rate"] = options["learning_rate"] * self.rate
        models = [nets[way] for way in self._ways]
        return {
            "classifier": Group([nets["classifier"]], name, own, clip),
            "models": Group(models, name, options, clip),
        }

    def data(self, split: str) -> Optional[Iterable[Any]]:
        """Batches of inputs, values, shifted inputs and true weights; inputs and values of a test.

        Where the ratio is not known, ones are in its place.
        """
        part = self.dataset.split(split)
        if part is None or split != "train":
            return None if part is None else ArrayBatches(part, self.options.batch_size)
        ratio = self._true(part[0]).astype(np.float32)
        return ArrayBatches([*part, ratio], self.options.batch_size, shuffle=True)

    def step(self, engine: Any, batch: Any) -> Mapping[str, Sum]:
        """An update of the classifier, then one of the models with its weights."""
        found = dict(engine.minimize("classifier", self.tell_apart, batch))
        return {**engine.minimize("models", self.loss, batch), **found}

    @compiled
    def tell_apart(self, nets: Any, shard: Any, carry: Any) -> Any:
        """Cross-entropy of both inputs of a pair, and how many of the two are told right, (n,)."""
        x, _, z, _ = shard
        known, asked = (nets["classifier"](each).reshape((-1,)) for each in (x, z))
        # -log of the probability of what is right: log(1 + exp f) and log(1 + exp -f)
        loss = _softplus(known) + _softplus(-asked)
        return {"classifier_loss": loss / 2, "classifier_accuracy": ((known < 0) + (asked > 0)) / 2}

    @compiled
    def loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The sum of what all models lose, (n,), and the weighted loss of the corrected one."""
        x, y, _, ratio = shard
        weight = nets["classifier"](x).reshape((-1,)).exp()
        if self.clip is not None:
            weight = weight.clip(0, self.clip)
        weights = {"plain": ratio.ones_like(), "corrected": _constant(weight), "oracle": ratio}
        lost = {way: weights[way] * self.criterion(nets[way](x), y) for way in self._ways}
        total = sum(list(lost.values())[1:], lost["plain"])
        return {"loss": total, **{f"{way}_loss": each for way, each in lost.items()}}

    @compiled
    def judged(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The loss of each model on shifted points, (n,) each."""
        x, y = shard
        return {f"{way}_loss": self.criterion(nets[way](x), y) for way in self._ways}

    def evaluate(self, engine: Any) -> dict[str, float]:
        """The loss of each model on shifted points."""
        sums: dict[str, Sum] = {}
        for batch in self.data("test") or ():
            for name, value in engine.total(self.judged, batch).items():
                sums[name] = sums.get(name, Sum()) + value
        return {f"test_{name}": value.mean() for name, value in sums.items()}

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """What correction has gained, how many examples the weights leave, and the picture."""
        x, y, z = self.dataset.split("train")
        weights = {"corrected": self._weights(nets, x)}
        if "oracle" in self._ways:
            weights["oracle"] = self._true(x)
        figures: dict[str, Any] = {}
        last = run.metrics()[-1] if run.metrics() else {}
        if last.get("test_plain_loss"):
            figures["gain"] = 1 - last["test_corrected_loss"] / last["test_plain_loss"]
        for way, found in weights.items():
            figures[f"{way}_sample_size"] = reweighting.effective(found)
        table = self._problems()
        if table is not None:
            figures["better_on"] = int((table[:, 1] < table[:, 0]).sum())
        if x.shape[1] == 1:
            lines = {way: self._line(nets[way], x, z) for way in self._ways}
            shift_plots.shift(
                run.plots / "shift.png", (x, y, z), weights, lines, self.dataset, table
            )
        return figures

    def predict(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Value, and prediction of each model, at the shifted points."""
        x, y = self.dataset.split("test")
        found = {way: _outputs(nets[way], x) for way in self._ways}
        return {
            "rows": [
                {"example": i, "is": float(y[i]), **{w: float(v[i]) for w, v in found.items()}}
                for i in range(len(y))
            ]
        }

    def exports(self, nets: Any) -> Sequence[Exported]:
        """Inputs to what each model predicts, and to the weight of an example with this input."""

        def models(x: Any) -> list[Any]:
            weight = nets["classifier"](x).reshape((-1,)).exp()
            if self.clip is not None:
                weight = weight.clip(0, self.clip)
            return [*(nets[way](x).reshape((-1,)) for way in self._ways), weight]

        said = {way: f"predicted by the model that has learned {way}" for way in self._ways}
        return [
            Exported(
                [nets["classifier"], *(nets[way] for way in self._ways)],
                models,
                [Input("input", self.examples_of("test", "train")[0], "as the data set gives it")],
                {**said, "weight": "of an example with this input"},
                about="Predicts values where inputs have shifted.",
            )
        ]

    def _true(self, x: np.ndarray) -> np.ndarray:
        """True ratios (n,), clipped; ones where they are not known."""
        if "oracle" not in self._ways:
            return np.ones(len(x))
        found: np.ndarray = np.minimum(self.dataset.ratio(x), self.clip or math.inf)
        return found

    def _weights(self, nets: Any, x: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.exp(_outputs(nets["classifier"], x).astype(float))
        return np.minimum(found, self.clip or math.inf)

    def _line(self, net: Any, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (200,) over all there are, and outputs."""
        both = np.concatenate([x, z])
        at = np.linspace(both.min(), both.max(), 200, dtype=np.float32)
        return at, _outputs(net, at[:, None])

    def _problems(self) -> Optional[np.ndarray]:
        """Squared errors of lines on new problems (problems, 4); None where that is not learned."""
        own = self.parts["dataset"] == "tabular.shifted" and self.parts["model"] == "tabular.linear"
        if not (own and self.parts["loss"] == "losses.l2" and self.problems):
            return None
        degree = 1 if self.classifier == "linear" else 2
        return np.array(
            [
                reweighting.errors(self.dataset.again(seed), degree, self.clip)
                for seed in range(1, self.problems + 1)
            ]
        )


class Telling(mx.gluon.HybridBlock):
    """The classifier: standardizes what it sees, and gives one logit for each input.

    Parameters
    ----------
    inputs
        Some of either kind (n, D): for their mean and standard deviation.
    kind
        ``linear``, ``quadratic`` or ``mlp``.
    """

    def __init__(self, inputs: np.ndarray, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.mean, self.scale = (
            self.params.get_constant(name, value.reshape(1, -1).astype(np.float32))
            for name, value in (("mean", inputs.mean(axis=0)), ("scale", inputs.std(axis=0)))
        )
        width = inputs.shape[1]
        if kind == "mlp":
            self.output = MLP(SimpleNamespace(shape=(width,)), hidden=HIDDEN, activation="tanh")
        else:
            seen = width * (2 if kind == "quadratic" else 1)
            self.output = mx.gluon.nn.Dense(1, in_units=seen, weight_initializer=mx.init.Zero())

    def hybrid_forward(self, F: Any, x: Any, mean: Any, scale: Any) -> Any:
        """Logits (n, 1) of inputs (n, D)."""
        x = F.broadcast_div(F.broadcast_sub(x, mean), scale)
        return self.output(F.concat(x, F.square(x), dim=1) if self.kind == "quadratic" else x)


def _outputs(net: Any, x: np.ndarray) -> np.ndarray:
    """What a network says of inputs (n, D), (n,)."""
    context = next(iter(net.collect_params().values())).list_ctx()[0]
    found: np.ndarray = net(nd.array(x, ctx=context)).asnumpy().reshape(-1)
    return found


def _operators(value: Any) -> Any:
    return nd if isinstance(value, nd.NDArray) else mx.sym


def _softplus(value: Any) -> Any:
    return _operators(value).Activation(value, act_type="softrelu")


def _constant(value: Any) -> Any:
    """What no gradient goes back through; MXNet's operator for it crashes on arrays here."""
    return value.detach() if isinstance(value, nd.NDArray) else mx.sym.BlockGrad(value)
