"""What all adversarial tasks share: two groups, their two losses, the noise, and one step.

Holds no network and no data; what is made of the generator in the end is each task's own matter.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Optional

import numpy as np

from dope.core.backend import mx, nd
from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import EXAMPLES, Exported, Input
from dope.core.metrics import Sum
from dope.core.task import Group, Task, compiled

if TYPE_CHECKING:
    from dope.core.engine import Engine

BATCH = 256  # examples that are generated at a time


class Adversarial(Task):
    """Let a generator make examples, and a discriminator tell them from real ones.

    The model gives ``{"generator": …, "discriminator": …}``. A generator says by its attribute
    ``latent``, a tuple, what shape the noise of one example has; a batch is then
    ``(examples, noise)``. Without that attribute batches stay as the data set gives them.

    The loss is any that compares scores with targets of the same shape, 1 for real and 0 for false:
    ``losses.logistic``, ``losses.l2`` (least squares) or ``generative.wasserstein``. The
    discriminator's loss is ``criterion(D(x), real) + criterion(D(G(z)), 0)``, the generator's
    ``criterion(D(G(z)), 1)``.

    Parameters
    ----------
    real
        What the discriminator is to say of real examples; 0.9, say, is one-sided label smoothing.
        Above 0.5, at most 1.
    discriminator_rate
        The discriminator's learning rate as a multiple of the generator's, which is
        ``optimizer.learning_rate``; above 0.
    slope_penalty
        Weight of a penalty on slopes of the discriminator above 1; 0 for none. With s the
        difference of the scores of a real example and a false one over the distance of the two, it
        is ``max(0, |s| - 1)^2``. For ``generative.wasserstein``.
    clip_weights
        Largest size of a weight of the discriminator, to which weights are cut after each update;
        default no limit. The older way to bound slopes.

    Notes
    -----
    Goodfellow et al., "Generative Adversarial Nets" (2014), with the loss of section 3's end for
    the generator. Least squares: Mao et al. (2017). Smoothing: Salimans et al. (2016), section
    3.4. Two rates: Heusel et al. (2017). Clipping: Arjovsky et al. (2017). The penalty is that of
    Petzka, Fischer and Lukovnikov, "On the regularization of Wasserstein GANs" (2018), on pairs of
    examples: it takes first derivatives alone, where a penalty on the gradient takes second ones,
    which MXNet does not have for convolutions (docs/decisions.md).
    """

    criterion: Any
    latent: Optional[Sequence[int]] = None  # shape of one example's noise, known from `build` on
    together: ClassVar[bool] = False  # judge real and false examples at once: not with batch norm

    def __init__(
        self,
        *,
        real: float = 1.0,
        discriminator_rate: float = 1.0,
        slope_penalty: float = 0.0,
        clip_weights: Optional[float] = None,
    ) -> None:
        for name, good, remedy in (
            ("real", 0.5 < real <= 1, "It is above 0.5 and at most 1."),
            ("discriminator_rate", discriminator_rate > 0, "It is above 0."),
            ("slope_penalty", slope_penalty >= 0, "It is 0 or more."),
            ("clip_weights", clip_weights is None or clip_weights > 0, "It is above 0, or null."),
        ):
            if not good:
                raise ConfigError(f"task.{name} is out of range", remedy)
        self.real, self.discriminator_rate = real, discriminator_rate
        self.slope_penalty, self.clip_weights = slope_penalty, clip_weights

    def build(self) -> Any:
        """The networks; from here on it is known what noise the generator takes."""
        nets = self.model(self.dataset)
        self.latent = getattr(nets["generator"], "latent", None)
        return nets

    def data(self, split: str) -> Optional[Iterable[Any]]:
        """Batches of examples, and of the noise that as many false ones are made of."""
        found = self.dataset.batches(split, self.options.batch_size)
        if found is None:
            return None

        def noisy(arrays: Any, rng: Optional[np.random.Generator]) -> tuple[Any, ...]:
            made = arrays if found.transform is None else found.transform(arrays, rng)
            if self.latent is None:
                return tuple(made)
            drawn = (rng or np.random.default_rng(0)).standard_normal(
                (len(made[0]), *self.latent), dtype=np.float32
            )
            return made[0], drawn

        return ArrayBatches(found.arrays, found.batch_size, shuffle=found.shuffle, transform=noisy)

    def groups(self, nets: Any) -> Mapping[str, Group]:
        """The discriminator and the generator, each with an optimizer of its own."""
        name, clip = self.optimizer["name"], self.options.clip
        options = {key: value for key, value in self.optimizer.items() if key != "name"}
        faster = dict(options)
        if self.discriminator_rate != 1:
            if options.get("learning_rate") is None:
                raise ConfigError(
                    "task.discriminator_rate is a multiple of a learning rate that is not given",
                    "Set optimizer.learning_rate.",
                )
            faster["learning_rate"] = options["learning_rate"] * self.discriminator_rate
        return {
            "discriminator": Group([nets["discriminator"]], name, faster, clip),
            "generator": Group([nets["generator"]], name, options, clip),
        }

    def step(self, engine: Engine, batch: Any) -> Mapping[str, Sum]:
        """An update of the discriminator, then one of the generator against the new one."""
        found = dict(engine.minimize("discriminator", self.tell_apart, batch))
        if self.clip_weights is not None:
            clip_weights(engine.nets["discriminator"], self.clip_weights)
        return {**found, **engine.minimize("generator", self.deceive, batch)}

    # What a task may make differently -------------------------------------------------

    def examples(self, shard: Any) -> Any:
        """The real examples of a shard."""
        return shard[0]

    def made(self, nets: Any, shard: Any) -> Any:
        """As many examples of the generator."""
        return nets["generator"](shard[1])

    def scores(self, nets: Any, shard: Any, examples: Any) -> Any:
        """What the discriminator says of examples, real or false: (n, 1) or (n, 1, h, w)."""
        return nets["discriminator"](examples)

    # The two losses ------------------------------------------------------------------

    @compiled
    def tell_apart(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The discriminator's loss (n,), and the share of real and false that it tells right."""
        examples, made = self.examples(shard), constant(self.made(nets, shard))
        if self.together:
            scores = self.scores(nets, shard, joined(examples, made))
            true, false = halves(scores)
        else:
            true, false = (self.scores(nets, shard, each) for each in (examples, made))
            # All scores in one vector, (2n, ...): half as many operators as one by one
            scores = joined(true, false)
        target = joined(true.ones_like() * self.real, false.zeros_like())
        of_true, of_false = halves(self.criterion(scores, target))
        loss = of_true + of_false
        if self.slope_penalty:
            loss = loss + self.slope_penalty * steepness(true - false, examples - made)
        passed, slipped = halves(self.right(constant(scores)))
        return {"discriminator_loss": loss, "discriminator_accuracy": (passed + 1 - slipped) / 2}

    @compiled
    def deceive(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The generator's loss (n,): what it makes should pass for real."""
        made = self.made(nets, shard)
        return {"generator_loss": self.against(self.scores(nets, shard, made), 1.0)}

    def against(self, scores: Any, target: float) -> Any:
        """The loss (n,) of scores that should all be ``target``."""
        return self.criterion(scores, scores.ones_like() * target)

    def right(self, scores: Any) -> Any:
        """1 where the mean score of an example says real, 0 where not, (n,); 1/2 on the border."""
        return ((scores.reshape((0, -1)).mean(axis=1) - self.threshold).sign() + 1) / 2

    @functools.cached_property
    def threshold(self) -> float:
        """The score that fits real and false alike: 0 for logits, a half for least squares."""
        low, high = -100.0, 100.0
        with mx.autograd.pause():
            for _ in range(40):
                middle = (low + high) / 2
                score = nd.full((1, 1), middle)
                surplus = self.against(score, 0.0) - self.against(score, 1.0)
                if float(surplus.asscalar()) > 0:
                    high = middle
                else:
                    low = middle
        return round(middle, 6) + 0.0

    def evaluate(self, engine: Engine) -> dict[str, float]:
        """Losses and accuracy on held-out data, where there is any."""
        figures = {}
        for split in ("valid", "test"):
            sums: dict[str, Sum] = {}
            for batch in self.data(split) or ():
                for function in (self.tell_apart, self.deceive):
                    for name, value in engine.total(function, batch).items():
                        sums[name] = sums.get(name, Sum()) + value
            figures.update({f"{split}_{name}": value.mean() for name, value in sums.items()})
        return figures

    def exports(self, nets: Any) -> Sequence[Exported]:
        """The generator: noise to examples."""
        rng = np.random.default_rng(0)
        noise = rng.standard_normal((EXAMPLES, *(self.latent or ())), dtype=np.float32)
        return [
            Exported(
                [nets["generator"]],
                nets["generator"],
                [Input("noise", noise, "standard normal numbers")],
                {"made": "examples like those of the data"},
                name="generator",
                about="Makes examples from noise.",
            )
        ]

    def draw(self, nets: Any, noise: np.ndarray) -> np.ndarray:
        """What the generator makes of noise (n, …), some at a time, not learning: (n, …)."""
        context = next(iter(nets["generator"].collect_params().values())).list_ctx()[0]
        parts = [
            nets["generator"](nd.array(noise[i : i + BATCH], ctx=context)).asnumpy()
            for i in range(0, len(noise), BATCH)
        ]
        return np.concatenate(parts)


def constant(value: Any) -> Any:
    """An array or a symbol that no gradient goes back through."""
    return _operators(value).BlockGrad(value)


def joined(one: Any, other: Any) -> Any:
    """Two arrays or symbols (n, …) one below the other: (2n, …)."""
    return _operators(one).concat(one, other, dim=0)


def halves(both: Any) -> Any:
    """What was `joined`, cut in two again."""
    return _operators(both).split(both, num_outputs=2, axis=0)


def _operators(value: Any) -> Any:
    return nd if isinstance(value, nd.NDArray) else mx.sym


def steepness(rise: Any, way: Any) -> Any:
    """How far slopes exceed 1, squared: ``max(0, |rise| / length of way - 1)^2``, (n,)."""
    height = rise.reshape((0, -1)).mean(axis=1).abs()
    length = (way.reshape((0, -1)).square().sum(axis=1) + 1e-12).sqrt()
    return (height / length - 1).relu().square()


def clip_weights(net: Any, limit: float) -> None:
    """Cut all learned parameters of a network to ``[-limit, limit]``, on every context."""
    for parameter in net.collect_params().values():
        for weight in parameter.list_data() if parameter.grad_req != "null" else ():
            nd.clip(weight, -limit, limit, out=weight)
