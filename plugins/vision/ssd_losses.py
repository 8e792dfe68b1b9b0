"""How wrong a detector is about the classes of default boxes: one number for each image.

Holds the two losses of classes; that of boxes is the task's, in ``ssd.py``.
"""

from __future__ import annotations

from typing import Any

from dope.core.backend import mx
from dope.core.errors import ConfigError


class Focal(mx.gluon.HybridBlock):
    """Cross-entropy that counts a default box the less the surer it is right.

    With p the probability of the right class::

        loss = -weight (1 - p)^gamma log p

    It is added up over all default boxes of an image.

    Parameters
    ----------
    gamma
        How fast what is right is forgotten; 0 is cross-entropy.
    objects
        Weight of default boxes that are to find an object.
    background
        Weight of the others.

    Raises
    ------
    ConfigError
        A number is out of range.

    Notes
    -----
    Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 5, there for a logistic
    function of each class, here for a softmax over classes and background.
    """

    def __init__(
        self, *, gamma: float = 2.0, objects: float = 1.0, background: float = 1.0
    ) -> None:
        super().__init__()
        for name, value in (("gamma", gamma), ("objects", objects), ("background", background)):
            if value < 0:
                raise ConfigError(f"loss.{name} is {value}", "It is 0 or more.")
        self.gamma, self.objects, self.background = gamma, objects, background

    def hybrid_forward(self, F: Any, scores: Any, classes: Any) -> Any:
        """Loss (n,) of scores (n, A, K + 1), background first, and classes (n, A)."""
        logs = F.pick(F.log_softmax(scores, axis=-1), classes, axis=-1)
        loss = -logs
        if self.gamma:
            # right probabilities may come to 1 + 1e-7 in float32: a power of below 0 is no number
            wrong = F.relu(1 - F.exp(logs))
            loss = loss * (F.square(wrong) if self.gamma == 2 else wrong**self.gamma)
        if self.objects != self.background:
            loss = loss * (self.background + (self.objects - self.background) * (classes > 0))
        elif self.objects != 1:
            loss = loss * self.objects
        return F.sum(loss, axis=1)


class HardNegatives(mx.gluon.HybridBlock):
    """Cross-entropy of default boxes with an object, and of those that are most wrongly taken so.

    Parameters
    ----------
    ratio
        Default boxes of background that count, for each one that is to find an object.
    least
        Of background that count in any image, however few objects it has.

    Raises
    ------
    ConfigError
        A number is out of range.

    Notes
    -----
    Liu et al., "SSD: Single Shot MultiBox Detector" (2016), section 2.2: hard negative mining. The
    choice itself has no gradient.
    """

    def __init__(self, *, ratio: float = 3.0, least: int = 3) -> None:
        super().__init__()
        if ratio < 0:
            raise ConfigError(f"loss.ratio is {ratio}", "It is 0 or more.")
        if least < 0:
            raise ConfigError(f"loss.least is {least}", "It is 0 or more.")
        self.ratio, self.least = ratio, least

    def hybrid_forward(self, F: Any, scores: Any, classes: Any) -> Any:
        """Loss (n,) of scores (n, A, K + 1), background first, and classes (n, A)."""
        loss = -F.pick(F.log_softmax(scores, axis=-1), classes, axis=-1)
        objects = classes > 0
        background = F.BlockGrad(loss * (1 - objects))
        # place in the order of losses: the largest has 0
        place = F.argsort(F.argsort(background, axis=1, is_ascend=False), axis=1)
        count = self.ratio * F.sum(objects, axis=1, keepdims=True)
        count = F.broadcast_maximum(count, F.ones_like(count) * self.least)
        hard = F.broadcast_lesser(place, count) * (1 - objects)
        return F.sum(loss * (objects + hard), axis=1)
