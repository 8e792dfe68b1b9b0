"""Two callbacks: one adds columns to metrics.jsonl, one stops a run."""

from dope import Callback
from dope.core.backend import nd
from dope.core.task import blocks


class Norms(Callback):
    """Write the learning rate and the size of the weights into metrics.jsonl.

    Parameters
    ----------
    every
        Epochs from one row with these columns to the next.
    """

    def __init__(self, *, every: int = 1) -> None:
        self.every = every

    def on_epoch_end(self, trainer, metrics):
        if trainer.epoch % self.every:
            return
        rate = trainer.task.optimizer.get("learning_rate")
        if rate is not None:
            metrics["learning_rate"] = rate * trainer.engine.rate
        for name, net in blocks(trainer.engine.nets).items():
            learned = [p for p in net.collect_params().values() if p.grad_req != "null"]
            squares = [nd.square(p.list_data()[0]).sum() for p in learned]
            metrics[f"norm_{name}"] = sum(s.asscalar() for s in squares) ** 0.5


class Target(Callback):
    """Stop when a figure is reached.

    Parameters
    ----------
    metric
        A figure of the evaluation.
    value
        What it has to reach, from below.
    """

    def __init__(self, *, metric: str = "valid_accuracy", value: float = 0.99) -> None:
        self.metric, self.value = metric, value

    def on_evaluation_end(self, trainer, metrics):
        if metrics.get(self.metric, float("-inf")) >= self.value:
            trainer.run.log(f"{self.metric} has reached {metrics[self.metric]:.4g}")
            trainer.stop(f"{self.metric} has reached {self.value:g}")
