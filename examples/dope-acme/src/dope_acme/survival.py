"""Who survived the Titanic: a data set, a model and a task."""

import numpy as np

from dope import Task
from dope.core.backend import mx
from dope.core.data import ArrayBatches

DIED = [[118, 4, 0, 0], [154, 13, 0, 0], [387, 89, 35, 17], [670, 3, 0, 0]]
SURVIVED = [[57, 140, 5, 1], [14, 80, 11, 13], [75, 76, 13, 14], [192, 20, 0, 0]]


class Titanic:
    """2,201 people: 1st, 2nd, 3rd class or crew; man, woman, boy or girl; who survived."""

    classes = ("died", "survived")

    def __init__(self) -> None:
        counts = np.array([DIED, SURVIVED])  # of which outcome, in which class, man … girl
        y, berth, who = np.indices(counts.shape).reshape(3, -1).repeat(counts.ravel(), axis=1)
        x = np.column_stack([np.eye(4)[berth], who % 2, who > 1])  # (n, 6): class, female, child
        x, y, held_out = x.astype("float32"), y.astype("float32"), np.arange(len(y)) % 5 == 0
        self.parts = {"train": (x[~held_out], y[~held_out]), "valid": (x[held_out], y[held_out])}

    def batches(self, split, batch_size):
        part = self.parts.get(split)  # there is no "test"
        return part and ArrayBatches(part, batch_size, shuffle=split == "train")


def dense(dataset, *, hidden: int = 8):
    """One layer with relu, then a score for each class.

    Parameters
    ----------
    hidden
        Units of the layer.
    """
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(hidden, activation="relu"), mx.gluon.nn.Dense(len(dataset.classes)))
    return net


class Survival(Task):
    """Tell who survives from class, sex and age."""

    metrics = ("accuracy",)
    defaults = {
        "dataset": "acme.titanic",
        "model": "acme.dense",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "trainer": {"epochs": 10, "batch_size": 64},
    }
