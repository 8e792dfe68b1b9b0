"""Text that a language model writes: a number drawn, fed back, drawn again.

Holds no files and no options; the tasks say what is asked for and where it goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Optional

import numpy as np

from dope.core.backend import mx, nd


def draw(
    logits: np.ndarray, rng: np.random.Generator, temperature: float, top_k: Optional[int]
) -> int:
    """Draw one number by its logit.

    Parameters
    ----------
    logits
        Shape (V,).
    rng
        Where randomness comes from; one number is drawn.
    temperature
        The logits are divided by it; 0 takes the likeliest.
    top_k
        Draw among the so many likeliest; None draws among all.

    Returns
    -------
    int
        At least 0, below V.
    """
    order = np.argsort(-logits, kind="stable")[:top_k]
    if temperature == 0:
        return int(order[0])
    scaled = logits[order].astype(np.float64) / temperature
    shares = np.cumsum(np.exp(scaled - scaled.max()))
    return int(order[np.searchsorted(shares, rng.random() * shares[-1], side="right")])


def following(
    net: Any,
    begin: np.ndarray,
    rng: np.random.Generator,
    temperature: float = 1.0,
    top_k: Optional[int] = None,
    never: Sequence[int] = (),
) -> Iterator[int]:
    """Draw what follows ``begin``, without end.

    Parameters
    ----------
    net
        ``net(x, states)`` gives logits (1, T, V) and states of inputs (T, 1), as `LanguageModel`.
    begin
        Numbers that are read first, (n), n at least 1.
    rng, temperature, top_k
        As in `draw`.
    never
        Numbers that are not drawn; the shares of the others grow.
    """
    context = next(iter(net.collect_params().values())).list_ctx()[0]
    x = nd.array(begin.reshape(-1, 1), ctx=context, dtype="float32")
    states = net.begin(x)
    with mx.autograd.predict_mode():
        while True:
            logits, states = net(x, states)[:2]
            last = logits[0, -1].asnumpy()  # (V,)
            last[list(never)] = -np.inf
            number = draw(last, rng, temperature, top_k)
            yield number
            x = nd.array([[number]], ctx=context, dtype="float32")
