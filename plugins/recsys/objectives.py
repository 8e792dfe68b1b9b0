"""Losses that rank: what a user has liked against items that the user has not.

Holds the formulas; which items are drawn is in negatives.py.
"""

from __future__ import annotations

import math
from typing import Any

from dope.core.backend import mx
from dope.core.errors import ConfigError


class BPR(mx.gluon.HybridBlock):
    """Bayesian personalized ranking: each positive item above each negative one.

    With s the score of the positive item and t_j those of m negatives::

        loss = mean over j of log(1 + exp(t_j - s))

    Negatives are drawn evenly from the warm items that the user has not rated in training.

    Parameters
    ----------
    negatives
        m, for each positive item.

    Raises
    ------
    ConfigError
        ``negatives`` is below 1.

    Notes
    -----
    Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback" (2009), section 4.1.
    """

    ranks = True

    def __init__(self, *, negatives: int = 1) -> None:
        super().__init__()
        self.negatives = _count(negatives)

    def hybrid_forward(self, F: Any, scores: Any) -> Any:
        """Loss (n,) of scores (n, 1 + m), the positive item's first."""
        positive = F.slice_axis(scores, axis=1, begin=0, end=1)
        negative = F.slice_axis(scores, axis=1, begin=1, end=None)
        gap = F.broadcast_sub(negative, positive)
        return F.mean(F.Activation(gap, act_type="softrelu"), axis=1)


class SampledSoftmax(mx.gluon.HybridBlock):
    """Cross-entropy of the positive item among itself and m items drawn at random.

    With s the score of the positive item, t_j those of the negatives and C the number of warm
    items, which stand for all others::

        loss = -s + log(exp(s) + (C - 1) / m * sum over j of exp(t_j))

    Negatives are drawn as for BPR, evenly, so that the correction for how they are drawn is one
    number.

    Parameters
    ----------
    negatives
        m, for each positive item.

    Raises
    ------
    ConfigError
        ``negatives`` is below 1.

    Notes
    -----
    Jean et al., "On Using Very Large Target Vocabulary for Neural Machine Translation" (2015),
    section 3.2.
    """

    ranks = True

    def __init__(self, *, negatives: int = 16) -> None:
        super().__init__()
        self.negatives, self.shift = _count(negatives), 0.0

    def know(self, candidates: int) -> None:
        """Say how many items negatives are drawn from."""
        self.shift = math.log(max(1, candidates - 1) / self.negatives)

    def hybrid_forward(self, F: Any, scores: Any) -> Any:
        """Loss (n,) of scores (n, 1 + m), the positive item's first."""
        positive = F.slice_axis(scores, axis=1, begin=0, end=1)
        negative = F.slice_axis(scores, axis=1, begin=1, end=None) + self.shift
        logs = F.log_softmax(F.concat(positive, negative, dim=1), axis=1)
        return F.reshape(F.slice_axis(-logs, axis=1, begin=0, end=1), shape=(-1,))


def _count(negatives: int) -> int:
    if negatives < 1:
        raise ConfigError(f"loss.negatives={negatives} is out of range", "It is 1 or more.")
    return negatives
