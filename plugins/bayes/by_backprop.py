"""Bayes by Backprop: what classification and regression share.

Holds the loss, the noise of a step, the weight of the divergence, and prediction by many draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Optional

import numpy as np

from dope.core.backend import nd
from dope.core.data import batch_length
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import Exported, Input
from dope.core.metrics import METRICS, Sum
from dope.core.task import Task, compiled
from dope.plugins.bayes.ensemble import Ensemble
from dope.plugins.bayes.noise import Noise, normal
from dope.plugins.bayes.priors import GaussianPrior, MixturePrior, positive
from dope.plugins.bayes.recipe import space
from dope.plugins.bayes.variational import Variational

DRAWN = 7919  # begins the seeds of predictions: the same networks each time


class ByBackprop(Task):
    """Learn a Gaussian for each weight of a network in place of a number.

    Blundell et al. (2015), "Weight Uncertainty in Neural Networks". The loss of an example is its
    negative log-likelihood under sampled weights, plus its share of the divergence KL(q || p) of
    the weights from their prior.

    Parameters
    ----------
    prior
        ``gaussian``, or a ``mixture`` of a wide and a narrow one.
    sigma
        Standard deviation of the Gaussian prior.
    pi
        Share of the wide Gaussian in the mixture.
    sigma1, sigma2
        Standard deviations of the wide and the narrow one.
    rho
        What the parameters rho start at: each weight's standard deviation is log(1 + exp(rho)).
    samples
        Sets of weights that a step averages over.
    local
        Draw the outputs of dense and convolutional layers, for each example anew, in place of
        their weights: less noise in the gradients, and less to draw.
    weighting
        How an epoch's batches share the divergence: ``even``, each example one N-th, or ``paper``,
        batch i of M the part 2^(M-i) / (2^M - 1).
    strength
        What the divergence is multiplied with; 1 is Bayes' rule, less trusts the data more.
    draws
        Networks that a prediction is averaged over.

    Raises
    ------
    ConfigError
        An option is out of its range.
    """

    metrics: ClassVar[Any] = ()
    threads: ClassVar[Optional[int]] = 1  # the next step's noise has the other core

    def __init__(
        self,
        *,
        prior: Literal["gaussian", "mixture"] = "gaussian",
        sigma: float = 1.0,
        pi: float = 0.25,
        sigma1: float = 0.75,
        sigma2: float = 0.1,
        rho: float = -3.0,
        samples: int = 1,
        local: bool = False,
        weighting: Literal["even", "paper"] = "even",
        strength: float = 1.0,
        draws: int = 20,
    ) -> None:
        for name, value in (("samples", samples), ("draws", draws)):
            if value < 1:
                raise ConfigError(f"task.{name}={value} is out of range", "It is at least 1.")
        positive(strength=strength)
        mixture = MixturePrior(pi, sigma1, sigma2)
        self.prior = mixture if prior == "mixture" else GaussianPrior(sigma)
        self.rho, self.samples, self.local = rho, samples, local
        if local:  # there is little noise to draw, and twice as many products
            self.threads = None  # type: ignore[misc]
        self.weighting, self.strength, self.draws = weighting, strength, draws
        self._noise = Noise()

    def build(self) -> Variational:
        """The model, its parameters made Gaussian."""
        first = next(iter(self.dataset.batches("train", 1)))[0]
        return Variational(
            self.model(self.dataset), first.shape, rho=self.rho, samples=self.samples
        )

    def data(self, split: str) -> Any:
        """The data set's batches; those for training with shares of the divergence."""
        batches = super().data(split)
        if split != "train" or batches is None:
            return batches
        return Shared(batches, self.weighting, self.strength)

    def nll(self, output: Any, target: Any) -> Any:
        """Negative log-likelihood of each example, (n,), in nats."""
        return self.criterion(output, target)

    @compiled
    def loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        """Of inputs, targets, shares of the divergence, and noise of layers where that is drawn."""
        x, target, share, *noises = shard
        F, sites = space(x), len(noises) // self.samples
        posterior, drawn, divergence = nets.sample(x, self.prior, self.samples, local=self.local)
        outputs = [
            nets.output_locally(x, posterior, noises[s * sites : (s + 1) * sites], weights)
            if self.local
            else nets.output(x, weights)
            for s, weights in enumerate(drawn)
        ]
        nll = sum(self.nll(output, target) for output in outputs) / self.samples
        found = {
            "loss": nll + F.broadcast_mul(share, divergence),
            "nll": nll,
            "kl": F.broadcast_mul(F.ones_like(share), F.BlockGrad(divergence)),
        }
        for name in self.metrics:
            found[name] = METRICS[name](outputs[0], target)
        return found

    def step(self, engine: Any, batch: Any) -> Mapping[str, Sum]:
        """Draw noise for the whole batch, before it is split, and learn."""
        nets, n = engine.nets, batch_length(batch)
        sites = [(n, *site) for site in nets.recipe.sites] * self.samples if self.local else []
        sizes = [int(np.prod(shape)) for shape in sites]
        drawn = not self.local or self.prior.sampled or len(nets.local) < nets.arrays
        sets = self.samples if drawn else 0
        values = self._noise.draw(sum(sizes) + sets * nets.size)
        for s in range(sets):
            nets.fill(values[s * nets.size : (s + 1) * nets.size], s)
        ends = sets * nets.size + np.cumsum([0, *sizes])
        noises = [
            nd.from_numpy(np.ascontiguousarray(values[a:b]).reshape(shape))
            for a, b, shape in zip(ends, ends[1:], sites)
        ]
        found: Mapping[str, Sum] = engine.minimize("main", self.loss, (*batch, *noises))
        return found

    def outputs(self, nets: Variational, call: Any) -> Iterator[Any]:
        """``call()`` under each of ``draws`` networks, the same ones for the same parameters."""
        for draw in range(self.draws):
            nets.fill(normal(DRAWN + draw, nets.size))
            yield call()
        nets.fill(np.zeros(nets.size, np.float32))

    def drawn(self, nets: Variational, inputs: Any) -> np.ndarray:
        """Outputs under each draw, (draws, n, ...), of inputs that lie in memory in batches."""
        context = next(iter(nets.collect_params().values())).list_ctx()[0]
        given = [nd.array(x, ctx=context) for x in inputs]

        def call() -> np.ndarray:
            return np.concatenate([self.predicted(nets(x)).asnumpy() for x in given])

        return np.stack(list(self.outputs(nets, call)))

    def exports(self, nets: Variational) -> Sequence[Exported]:
        """Inputs to the outputs of each of the networks that predictions are averaged over."""
        draws = [normal(DRAWN + draw, nets.size) for draw in range(self.draws)]
        networks = Ensemble(nets, draws)
        classes = getattr(self.dataset, "classes", None)
        facts = {} if classes is None else {"classes": [str(each) for each in classes]}
        return [
            Exported(
                [networks, nets],
                lambda x: networks.outputs(x, self.predicted),
                [
                    Input(
                        "input", self.examples_of("test", "valid", "train")[0], "as the data set's"
                    )
                ],
                {
                    "mean": "of all draws of the weights",
                    "drawn": f"the same of each of {self.draws} draws; draws, examples, outputs",
                },
                about=f"{self.draws} networks drawn from the distribution over the weights.",
                facts=facts,
            )
        ]

    def predicted(self, output: Any) -> Any:
        """What of a network's output is averaged over draws."""
        return output

    def evaluate(self, engine: Any) -> dict[str, float]:
        """Figures of the mean prediction of many draws on held-out data."""
        figures = {}
        for split in ("valid", "test"):
            batches = list(self.data(split) or ())
            if not batches:
                continue
            targets = np.concatenate([batch[1].asnumpy() for batch in batches])

            def call(batches: Any = batches) -> np.ndarray:
                parts = [part for b in batches for part in engine.gather(self._predicted, b)]
                return np.concatenate([part.asnumpy() for part in parts])

            found = np.stack(list(self.outputs(engine.nets, call)))
            figures.update({f"{split}_{k}": v for k, v in self.judged(found, targets).items()})
        return figures

    def judged(self, found: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Figures of merit of outputs (draws, n, ...)."""
        raise NotImplementedError

    def _predicted(self, nets: Any, shard: Any) -> Any:
        return self.predicted(nets(shard[0]))

    def held_out(self) -> Optional[str]:
        """The part of the data that predictions are shown of: ``test``, else ``valid``."""
        return next((s for s in ("test", "valid") if self.dataset.batches(s, 1)), None)


class Shared:
    """Batches of training data with each example's share of the divergence as a last part.

    Parameters
    ----------
    batches
        As the data set gives them.
    weighting
        ``even``: 1 / N for each of N examples. ``paper``: the n examples of batch i of M have
        2^(M-i) / (2^M - 1) / n each (Blundell et al., section 3.4). Either way an epoch has 1.
    strength
        What every share is multiplied with.
    """

    def __init__(self, batches: Any, weighting: str, strength: float) -> None:
        self.batches, self.weighting, self.strength = batches, weighting, strength

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return self._with_shares(iter(self.batches), 0)

    def epoch(self, rng: Any = None, skip: int = 0) -> Iterator[Any]:
        """As the batches' own ``epoch``."""
        return self._with_shares(self.batches.epoch(rng, skip), skip)

    def _with_shares(self, stream: Any, first: int) -> Iterator[Any]:
        total, made = len(self.batches), None
        for i, (x, target) in enumerate(stream, first + 1):
            n = batch_length(target)
            if self.weighting == "paper":
                share = 2.0**-i / (1 - 2.0**-total) / n
            else:
                share = 1.0 / self.batches.examples
            if made is None or made[0] != (n, share):  # the same array while nothing changes
                shares = np.full(
                    n, share * self.strength, np.float32
                )  # of late batches it may be 0
                made = (n, share), nd.array(shares, ctx=target.context)
            yield x, target, made[1]
