"""Losses that only adversarial tasks have: one number for each example, never a mean.

Holds no cross-entropy and no squared error; those are the plugin losses' and go here as well.
"""

from __future__ import annotations

from typing import Any

from dope.core.backend import mx


class Wasserstein(mx.gluon.HybridBlock):
    """A critic's score, made large for what is real and small for what is not::

        loss = (1 - 2 t) y

    Scores y have shape (n) or (n, ...), targets t the same: 1 for real, 0 for false. All axes but
    the first are averaged over. The difference of the two mean scores, maximized over all functions
    with slopes of at most 1, is the Wasserstein distance. Nothing here bounds the slopes: that is
    what the task's ``slope_penalty`` or ``clip_weights`` is for.

    Notes
    -----
    Arjovsky, Chintala and Bottou, "Wasserstein GAN" (2017), equation 2.
    """

    targets = "probabilities"

    def hybrid_forward(self, F: Any, output: Any, target: Any) -> Any:
        """Loss (n) of scores (n, ...) and targets (n, ...)."""
        y, t = (F.reshape(values, shape=(0, -1)) for values in (output, target))
        return F.mean((1 - 2 * t) * y, axis=1)
