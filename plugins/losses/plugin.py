"""What the losses register: names and where they are found, nothing more.

Imports neither MXNet nor NumPy: the classes are loaded when a run asks for them.
"""

from __future__ import annotations

from dope.core.hookspecs import Register, hookimpl

HERE = "dope.plugins.losses.losses"


@hookimpl
def register_losses(register: Register) -> None:
    shipped = {
        "hinge": ("Hinge", "Hinge loss of a score, for targets -1 and 1"),
        "huber": ("Huber", "Squared error near zero, absolute error beyond"),
        "kl": ("KL", "Kullback-Leibler divergence from a target distribution"),
        "l1": ("L1", "Absolute error"),
        "l2": ("L2", "Half the squared error"),
        "logistic": ("Logistic", "Cross-entropy of a logit, for targets 0 and 1"),
        "softmax_cross_entropy": ("SoftmaxCrossEntropy", "Cross-entropy of logits over classes"),
    }
    for name, (target, summary) in shipped.items():
        register(f"losses.{name}", f"{HERE}:{target}", summary=summary)
