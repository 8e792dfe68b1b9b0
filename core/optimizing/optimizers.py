"""The optimizers that ``optimizer=NAME`` may name, and where their options are.

Their options are classes in ``descent.py`` and ``adaptive.py``; the arithmetic is MXNet's, or the
engine's for ``bfgs``.
"""

from __future__ import annotations

# Of MXNet 1.9.1's optimizers these are left out. adamax divides 0 by 0 where a gradient has always
# been 0 (the pixels that no digit covers). nadam multiplies its momentum schedule once for each
# parameter instead of each step, and keeps the product where no checkpoint sees it. dcasgd stops
# with an error for any momentum, and mends delays of asynchronous training, which dope has not.
# lbsgd keeps summed gradients likewise; trainer.accumulate, trainer.warmup and lars do its work.
# groupadagrad is for sparse embeddings. Of the options, lazy_update is for sparse gradients and
# multi_precision for float16: dope has neither.
OPTIMIZERS: dict[str, str] = {
    "adadelta": "dope.core.optimizing.adaptive:AdaDelta",
    "adagrad": "dope.core.optimizing.adaptive:Adagrad",
    "adam": "dope.core.optimizing.adaptive:Adam",
    "bfgs": "dope.core.optimizing.descent:Bfgs",
    "ftml": "dope.core.optimizing.adaptive:Ftml",
    "ftrl": "dope.core.optimizing.adaptive:Ftrl",
    "lamb": "dope.core.optimizing.adaptive:Lamb",
    "lars": "dope.core.optimizing.descent:Lars",
    "nag": "dope.core.optimizing.descent:Nag",
    "rmsprop": "dope.core.optimizing.adaptive:RmsProp",
    "sgd": "dope.core.optimizing.descent:Sgd",
    "sgld": "dope.core.optimizing.descent:Sgld",
    "signum": "dope.core.optimizing.descent:Signum",
}
