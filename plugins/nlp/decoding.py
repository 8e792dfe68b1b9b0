"""The cross-entropy of a dense layer's softmax over many classes, in one piece for training.

Holds no layer: the networks that use it own weights and bias.
"""

from __future__ import annotations

from typing import Any

LEAST = 1e-37  # is added to a probability before its logarithm is taken, not in the gradient


def entropy(F: Any, outputs: Any, targets: Any, weight: Any, bias: Any, shape: Any) -> Any:
    """Mean over times of -log softmax(W h + b)[y], without gradients as large as the logits.

    With p the softmax, the gradient of -log p[y] by h is p W - W[y], by W the outer product of
    p - 1[y] and h, and by b it is p - 1[y]. Where p is held fast, that is also the gradient of::

        s = h (p W - W[y]) + p b - b[y]

    So s is what is differentiated, and the loss is what is returned. It saves the gradients of the
    logits, of their softmax and of the choice of y: each is a pass over T N V numbers, and together
    they take longer than a product of matrices.

    Parameters
    ----------
    F
        ``mx.sym`` or ``mx.nd``.
    outputs
        h, (T, N, H).
    targets
        y, (T, N), numbers from 0 to V - 1.
    weight, bias
        W, (V, H), and b, (V).
    shape
        V and H.

    Returns
    -------
    The loss of each stream, (N).

    Notes
    -----
    For float32. A single term of the mean is at most 85, the logarithm of 1e37; its gradient is
    right beyond.
    """
    classes, units = shape
    fixed = F.BlockGrad
    h = F.reshape(outputs, shape=(-3, 0))  # (T N, H)
    y = F.reshape(targets, shape=(-1,))
    logits = F.FullyConnected(fixed(h), fixed(weight), fixed(bias), num_hidden=classes)
    p = fixed(F.softmax(logits, axis=-1))  # (T N, V)

    # FullyConnected goes to oneDNN, dot does not; it takes the weights the other way round
    mean = F.FullyConnected(p, F.transpose(weight), num_hidden=units, no_bias=True)  # (T N, H)
    at_target = F.Embedding(y, weight, input_dim=classes, output_dim=units)
    mean_bias = F.FullyConnected(p, F.reshape(bias, shape=(1, -1)), num_hidden=1, no_bias=True)
    column = F.reshape(bias, shape=(-1, 1))
    bias_at_target = F.Embedding(y, column, input_dim=classes, output_dim=1)  # (T N, 1)
    s = F.sum(h * (mean - at_target), axis=1)
    s = s + F.reshape(mean_bias - bias_at_target, shape=(-1,))

    loss = -F.log(F.pick(p, y, axis=-1) + LEAST)
    return F.mean(F.reshape_like(fixed(loss - s) + s, targets), axis=0)
