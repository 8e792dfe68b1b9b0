"""Count sketches and compact bilinear pooling: the arithmetic, and an operator of MXNet.

Holds no network; MXNet's own ``count_sketch`` and ``fft`` exist on GPUs only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dope.core.backend import mx

NAME = "dope_compact_bilinear"


def count_sketch(x: np.ndarray, h: np.ndarray, s: np.ndarray, size: int) -> np.ndarray:
    """Each number of x, with its sign, added to its bucket: out[:, h_i] += s_i x_i.

    Parameters
    ----------
    x
        (n, D).
    h
        Whole numbers (D,) from 0 to ``size`` - 1.
    s
        (D,), 1 or -1.
    size
        Buckets, d.

    Returns
    -------
    ndarray
        (n, d), of the type of x.

    Notes
    -----
    Charikar, Chen and Farach-Colton, "Finding frequent items in data streams" (2002). Over random
    h and s the mean of the inner product of two sketches is the inner product.
    """
    made = np.zeros((len(x), size), x.dtype)
    order = np.argsort(h, kind="stable")
    used, begin = np.unique(h[order], return_index=True)
    made[:, used] = np.add.reduceat((x * s)[:, order], begin, axis=1)
    return made


def pooled(
    x: np.ndarray, y: np.ndarray, hashes: tuple[np.ndarray, ...], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The count sketch of the outer product of x and y, without the outer product.

    It is the circular convolution of both sketches, so a product of their Fourier transforms.

    Parameters
    ----------
    x, y
        (n, D) and (n, E).
    hashes
        h and s of x, then of y, as `count_sketch` takes them.
    size
        Buckets, d.

    Returns
    -------
    ndarray
        (n, d): what x_i y_j adds to bucket (h_i + g_j) mod d with the sign s_i t_j.
    ndarray, ndarray
        Transforms of both sketches (n, d // 2 + 1), complex, for `pooled_gradient`.

    Notes
    -----
    Pham and Pagh, "Fast and scalable polynomial kernels via explicit feature maps" (2013); Fukui
    et al., "Multimodal compact bilinear pooling for visual question answering and visual
    grounding" (2016), algorithm 1.
    """
    h, s, g, t = hashes
    p = np.fft.rfft(count_sketch(x, h, s, size))
    q = np.fft.rfft(count_sketch(y, g, t, size))
    return np.fft.irfft(p * q, size), p, q


def pooled_gradient(
    head: np.ndarray,
    p: np.ndarray,
    q: np.ndarray,
    hashes: tuple[np.ndarray, ...],
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of x (n, D) and y (n, E), given that of the pooled values (n, d).

    The gradient of a convolution is a correlation with the other factor: a product with the
    conjugate of its transform.
    """
    h, s, g, t = hashes
    f = np.fft.rfft(head)
    to_x = np.fft.irfft(f * np.conj(q), size)
    to_y = np.fft.irfft(f * np.conj(p), size)
    return to_x[:, h] * s, to_y[:, g] * t


def compact_bilinear(F: Any, x: Any, y: Any, hashes: Any, size: int) -> Any:
    """`pooled` as an operator on arrays or symbols, with its gradient.

    Parameters
    ----------
    F
        ``mx.nd`` or ``mx.sym``.
    x, y, hashes, size
        As for `pooled`; h and g as floats, which have no gradient.

    Returns
    -------
    array or symbol
        (n, d).
    """
    return F.Custom(x, y, *hashes, op_type=NAME, size=size)


class Transforms(mx.gluon.HybridBlock):
    """`compact_bilinear` of MXNet's own operators: Fourier transforms as products of matrices.

    For graphs that other programs run. Its matrices have d (D + E + d) numbers.

    Parameters
    ----------
    hashes, size
        As for `pooled`.
    """

    def __init__(self, hashes: Sequence[np.ndarray], size: int) -> None:
        super().__init__()
        h, s, g, t = hashes
        self.half = size // 2 + 1
        angle = 2 * np.pi / size
        turns = np.outer(np.arange(size), np.arange(self.half)) % size * angle
        waves = np.concatenate([np.cos(turns), -np.sin(turns)], axis=1)  # (d, 2 half)
        # All frequencies but 0, and the highest of an even size, stand for two
        twice = 2 - (np.arange(self.half) % (size / 2) == 0)
        back = waves * np.tile(twice, 2) / size
        for name, value in (
            ("of_x", waves[h.astype(int)] * s[:, None]),  # (D, 2 half)
            ("of_y", waves[g.astype(int)] * t[:, None]),
            ("back", back.T),  # (2 half, d)
        ):
            made = self.params.get_constant(name, value.astype(np.float32))
            setattr(self, name, made)
        self.initialize()

    def hybrid_forward(self, F: Any, x: Any, y: Any, of_x: Any, of_y: Any, back: Any) -> Any:
        """(n, D) and (n, E) to (n, d)."""
        (a, b), (c, d) = (
            F.split(F.dot(each, wave), num_outputs=2, axis=1)  # real and imaginary, (n, half)
            for each, wave in ((x, of_x), (y, of_y))
        )
        return F.dot(F.concat(a * c - b * d, a * d + b * c, dim=1), back)


@mx.operator.register(NAME)
class Pooling(mx.operator.CustomOpProp):
    """Names, shapes and types of the operator."""

    def __init__(self, size: str) -> None:
        super().__init__(need_top_grad=True)
        self.size = int(size)

    def list_arguments(self) -> list[str]:
        """Both inputs, then buckets and signs of the first and of the second."""
        return ["x", "y", "h", "s", "g", "t"]

    def list_outputs(self) -> list[str]:
        """The pooled values."""
        return ["output"]

    def infer_shape(self, in_shape: Any) -> Any:
        """(n, D) and (n, E) to (n, d)."""
        x, y = in_shape[:2]
        return [x, y, x[1:], x[1:], y[1:], y[1:]], [[x[0], self.size]], []

    def infer_type(self, in_type: Any) -> Any:
        """Hashes are float32, the output is as the first input."""
        kind = in_type[0]
        return [kind, kind, *[np.float32] * 4], [kind], []

    def create_operator(self, context: Any, shapes: Any, types: Any) -> Pooler:
        """The operator itself."""
        return Pooler(self.size)


class Pooler(mx.operator.CustomOp):
    """Both directions. Arrays are copied to NumPy and back, so that any context will do."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._kept: Any = None

    def forward(self, is_train: Any, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:
        """The convolution of both sketches."""
        x, y, *hashes = (each.asnumpy() for each in in_data)
        buckets = _whole(hashes)
        value, *transforms = pooled(x, y, buckets, self.size)
        self._kept = (transforms, buckets) if is_train else None
        self.assign(out_data[0], req[0], _array(value, out_data[0]))

    def backward(
        self, req: Any, out_grad: Any, in_data: Any, out_data: Any, in_grad: Any, aux: Any
    ) -> None:
        """Correlations with the other sketch; hashes have no gradient."""
        if self._kept is None:  # differentiated, but not in training mode
            x, y, *floats = (each.asnumpy() for each in in_data)
            hashes = _whole(floats)
            p, q = pooled(x, y, hashes, self.size)[1:]
        else:
            (p, q), hashes = self._kept
        found = pooled_gradient(out_grad[0].asnumpy(), p, q, hashes, self.size)
        for i, value in enumerate(found):
            self.assign(in_grad[i], req[i], _array(value, in_grad[i]))
        for kind, array in zip(req[2:], in_grad[2:]):
            if kind != "null":
                self.assign(array, kind, 0)


def _whole(hashes: Any) -> tuple[np.ndarray, ...]:
    h, s, g, t = hashes
    return h.astype(np.int64), s, g.astype(np.int64), t


def _array(value: np.ndarray, like: Any) -> Any:
    return mx.nd.array(value, ctx=like.context, dtype=like.dtype)


class Buckets(mx.init.Initializer):
    """Whole numbers from 0 to ``size`` - 1, drawn from the generator that the run has seeded."""

    def __init__(self, size: int) -> None:
        super().__init__(size=size)
        self.size = size

    def _init_weight(self, name: str, array: Any) -> None:
        array[:] = np.random.randint(0, self.size, array.shape)


class Signs(mx.init.Initializer):
    """1 or -1, drawn from the generator that the run has seeded."""

    def _init_weight(self, name: str, array: Any) -> None:
        array[:] = 2 * np.random.randint(0, 2, array.shape) - 1
