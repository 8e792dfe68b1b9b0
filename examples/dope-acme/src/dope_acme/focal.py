"""Focal loss: cross-entropy that turns to the examples that are still wrong."""

from dope.core.backend import mx
from dope.core.errors import ConfigError


class Focal(mx.gluon.HybridBlock):
    """Cross-entropy of logits over classes, small where the class is already found.

    With p the softmax of the logits and t the class of an example::

        loss = -(1 - p[t])^gamma log p[t]

    Parameters
    ----------
    gamma
        How little the examples count that are already right; 0 is cross-entropy.

    Raises
    ------
    ConfigError
        ``gamma`` is below 0.

    Notes
    -----
    Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 4, for K classes.
    """

    targets = "classes"  # so that dope refuses others before the run begins

    def __init__(self, *, gamma: float = 2.0) -> None:
        super().__init__()
        if gamma < 0:
            raise ConfigError(f"loss.gamma={gamma} is out of range", "It is at least 0.")
        self.gamma = gamma

    def hybrid_forward(self, F, output, target):
        """Loss (n,) of logits (n, K) and classes (n,)."""
        log_p = F.pick(F.log_softmax(output, axis=-1), target, axis=-1)
        if self.gamma == 0:
            return -log_p
        # log_p may be a rounding error above 0, and the power of a number below 0 is NaN
        wrong = F.relu(1 - F.exp(log_p))
        if self.gamma < 1:  # its slope at 0 is infinite
            wrong = wrong + 1e-6
        return -(wrong**self.gamma) * log_p
