"""Two networks against each other, on points in a plane (Goodfellow et al. 2014)."""

import numpy as np

from dope import Group, Task
from dope.core.backend import mx, nd
from dope.core.data import ArrayBatches
from dope.core.exporting.declaring import Exported, Input


class Cloud:
    """Points in a plane, drawn from one normal distribution.

    Parameters
    ----------
    n
        How many points.
    """

    mean = np.array([1.0, -2.0])
    covariance = np.array([[2.0, 1.2], [1.2, 1.0]])

    def __init__(self, *, n: int = 2000) -> None:
        drawn = np.random.default_rng(0).multivariate_normal(self.mean, self.covariance, size=n)
        self.points = drawn.astype("float32")

    def batches(self, split, batch_size):
        if split != "train":
            return None
        return ArrayBatches([self.points], batch_size, shuffle=True, transform=add_noise)


def add_noise(arrays, rng):
    """Beside each point, the noise that a false point is made of."""
    rng = rng or np.random.default_rng(0)
    return arrays[0], rng.normal(size=arrays[0].shape).astype("float32")


def pair(dataset, *, hidden: int = 16):
    """A linear generator, and a discriminator with one hidden layer.

    Parameters
    ----------
    hidden
        Units of the discriminator's layer.
    """
    init = {"weight_initializer": mx.init.Xavier()}
    judge = mx.gluon.nn.HybridSequential()
    judge.add(mx.gluon.nn.Dense(hidden, activation="tanh", in_units=2, **init))
    judge.add(mx.gluon.nn.Dense(1, in_units=hidden, **init))
    return {"generator": mx.gluon.nn.Dense(2, in_units=2, **init), "discriminator": judge}


class GAN(Task):
    """Draw points as the data has them."""

    defaults = {
        "dataset": "acme.cloud",
        "model": "acme.pair",
        "optimizer": {"name": "adam", "learning_rate": 0.02, "beta1": 0.5},
        "trainer": {"epochs": 40, "batch_size": 100, "schedule": "linear"},
    }
    profiles = {"quick": {}, "tiny": {"dataset": {"name": "acme.cloud", "n": 300}}}

    def groups(self, nets):
        options = {key: value for key, value in self.optimizer.items() if key != "name"}
        return {name: Group([net], self.optimizer["name"], options) for name, net in nets.items()}

    def step(self, engine, batch):
        return {
            "discriminator": engine.minimize("discriminator", self.tell_apart, batch),
            "generator": engine.minimize("generator", self.deceive, batch),
        }

    def tell_apart(self, nets, shard, carry):
        points, noise = shard
        false = nets["generator"](noise).detach()  # the generator is not to learn from this
        real, made = nets["discriminator"](points), nets["discriminator"](false)
        return (surprise(-real) + surprise(made)).reshape((-1,))  # (n,)

    def deceive(self, nets, shard, carry):
        return surprise(-nets["discriminator"](nets["generator"](shard[1]))).reshape((-1,))

    def evaluate(self, engine):
        made, real = self.draw(engine.nets, 10_000), self.dataset.points
        return {
            "mean_error": float(abs(made.mean(0) - real.mean(0)).max()),
            "covariance_error": float(abs(np.cov(made.T) - np.cov(real.T)).max()),
        }

    def predict(self, nets, run):
        return {"rows": [{"x": float(x), "y": float(y)} for x, y in self.draw(nets, 100)]}

    def exports(self, nets):
        noise = Input("noise", self.examples_of("train")[1], "standard normal numbers")
        return [Exported([nets["generator"]], nets["generator"], [noise], {"point": "x and y"})]

    def draw(self, nets, n):
        """Points (n, 2) that the generator makes."""
        context = nets["generator"].weight.list_ctx()[0]
        return nets["generator"](nd.random.normal(shape=(n, 2), ctx=context)).asnumpy()


def surprise(logit):
    """-log sigmoid(-logit), without overflow."""
    return nd.Activation(logit, act_type="softrelu")
