"""The Tree-LSTM's arithmetic, level by level: up from the leaves, and down for the gradients.

Holds blocks without parameters; climb.py calls them on the arrays of a forest.
"""

from __future__ import annotations

from typing import Any

from dope.core.backend import mx


def _cell(F: Any, iou: Any, kept: Any, H: int) -> tuple[Any, ...]:
    """sigmoid of i and o (n, 2H), then u, tanh(c), c and h (n, H), of what goes into i, o and u.

    ``kept`` is what the forget gates have kept of the children's c, None where there are none.
    """
    io = F.Activation(F.slice_axis(iou, axis=1, begin=0, end=2 * H), act_type="sigmoid")
    u = F.Activation(F.slice_axis(iou, axis=1, begin=2 * H, end=3 * H), act_type="tanh")
    c = F.slice_axis(io, axis=1, begin=0, end=H) * u
    if kept is not None:
        c = c + kept
    bent = F.Activation(c, act_type="tanh")
    h = F.slice_axis(io, axis=1, begin=H, end=2 * H) * bent
    return io, u, bent, c, h


def _products(F: Any, h: Any, sum_weight: Any, forget_weight: Any, H: int) -> tuple[Any, Any]:
    """What the head's gates get of a child: U h of i, o and u (n, 3H), and of f (n, H)."""
    return (
        F.FullyConnected(h, sum_weight, no_bias=True, num_hidden=3 * H),
        F.FullyConnected(h, forget_weight, no_bias=True, num_hidden=H),
    )


class Cell(mx.gluon.HybridBlock):
    """States of words, from what goes into their gates.

    Parameters
    ----------
    hidden
        H.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden

    def hybrid_forward(self, F: Any, gates: Any, kept: Any = None) -> Any:
        """Of gates (n, 3H or more) and, but for leaves, ``kept`` (n, H), as in `_cell`."""
        return _cell(F, gates, kept, self.hidden)


class Gifts(mx.gluon.HybridBlock):
    """What leaves that have a head give to it.

    Parameters
    ----------
    hidden
        H.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden

    def hybrid_forward(
        self, F: Any, h: Any, c: Any, f: Any, heads: Any, sum_weight: Any, forget_weight: Any
    ) -> Any:
        """U h (n, 3H), f c (n, H) and f (n, H)."""
        below, forget = _products(F, h, sum_weight, forget_weight, self.hidden)
        gate = F.Activation(F.take(f, heads) + forget, act_type="sigmoid")
        return below, gate * c, gate


class Rise(mx.gluon.HybridBlock):
    """From the deepest level to the roots, through a number of levels that is fixed: 2 or more.

    Parameters
    ----------
    hidden
        H.
    levels
        How many.
    """

    def __init__(self, hidden: int, levels: int) -> None:
        super().__init__()
        self.hidden, self.levels = hidden, levels

    def hybrid_forward(self, F: Any, sum_weight: Any, forget_weight: Any, *given: Any) -> Any:
        """States of the words with children, in order of levels; then their forget gates (K, H).

        ``given`` is for each level: what goes into the gates i, o and u without inner children
        (n, 3H), and into c (n, H); and for all but the first f's part of these words (n, H),
        heads (k,) and sums (n, k).
        """
        H = self.hidden
        states = [_cell(F, given[0], given[1], H)]
        gates = []
        for level in range(1, self.levels):
            iou, kept, f, heads, sums = given[5 * level - 3 : 5 * level + 2]
            c, h = states[-1][3:]
            below, forget = _products(F, h, sum_weight, forget_weight, H)
            gates.append(F.Activation(F.take(f, heads) + forget, act_type="sigmoid"))
            kept = kept + F.dot(sums, gates[-1] * c)
            states.append(_cell(F, iou + F.dot(sums, below), kept, H))
        joined = [F.concat(*parts, dim=0) for parts in zip(*states)]
        return (*joined, F.concat(*gates, dim=0))


class Slopes(mx.gluon.HybridBlock):
    """Derivatives that the way down multiplies with, of any number of words at once.

    Parameters
    ----------
    hidden
        H.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden

    def hybrid_forward(self, F: Any, io: Any, u: Any, bent: Any) -> Any:
        """(n, 4H) of what goes into i, o and u, and c's own 1; (n, H) of c, by that of h."""
        H = self.hidden
        slope = io * (1 - io)
        i, o = (F.slice_axis(io, axis=1, begin=k * H, end=k * H + H) for k in range(2))
        by_i, by_o = (F.slice_axis(slope, axis=1, begin=k * H, end=k * H + H) for k in range(2))
        by_u = i * (1 - F.square(u))
        slopes = F.concat(u * by_i, bent * by_o, by_u, F.ones_like(u), dim=1)
        return slopes, o * (1 - F.square(bent))


def own(F: Any, dc: Any, dh: Any, slopes: Any) -> Any:
    """Gradients of what goes into i, o and u, and of c (n, 4H), of those of c and h (n, H)."""
    return F.concat(dc, dh, dc, dc, dim=1) * slopes


def _fall(F: Any, below: Any, by_forget: Any, gate: Any, H: int) -> tuple[Any, Any, Any]:
    """Gradients of children from those of their heads' gates and c, side by side (k, 4H).

    Of U h of i, o, u and f (k, 4H), of that of f (k, H), and of c (k, H).
    """
    dc = F.slice_axis(below, axis=1, begin=3 * H, end=4 * H)
    forget = dc * by_forget
    products = F.concat(F.slice_axis(below, axis=1, begin=0, end=3 * H), forget, dim=1)
    return products, forget, dc * gate


class Fall(mx.gluon.HybridBlock):
    """From the gradients of the roots' h to those of all words with children, on 2 levels or more.

    Parameters
    ----------
    hidden
        H.
    levels
        How many.
    """

    def __init__(self, hidden: int, levels: int) -> None:
        super().__init__()
        self.hidden, self.levels = hidden, levels

    def hybrid_forward(self, F: Any, dh: Any, weight: Any, *given: Any) -> Any:
        """Gradients of gates and c (I, 4H), in order of levels; of U h (K, 4H), and of f (I', H).

        ``weight`` is U transposed (H, 4H). ``given`` is for each level, roots first, the two
        slopes; and for all but the deepest heads (k,), sums (n, k), the slope of f (k, H) and f
        (k, H). I' leaves the deepest level out.
        """
        H, dc = self.hidden, None
        found, products, forgets = [], [], []
        for level in range(self.levels):
            slopes, by_h, *rest = given[6 * level : 6 * level + 6]
            carried = dh * by_h
            dc = carried if dc is None else dc + carried
            found.append(own(F, dc, dh, slopes))
            if level + 1 < self.levels:
                heads, sums, by_forget, gate = rest
                below = F.take(found[-1], heads)
                product, forget, dc = _fall(F, below, by_forget, gate, H)
                products.append(product)
                forgets.append(F.dot(sums, forget))
                dh = F.FullyConnected(product, weight, no_bias=True, num_hidden=H)
        return tuple(F.concat(*each[::-1], dim=0) for each in (found, products, forgets))


class FallToLeaves(mx.gluon.HybridBlock):
    """From the gradients of words with children to those of the leaves below them.

    Parameters
    ----------
    hidden
        H.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden

    def hybrid_forward(
        self, F: Any, found: Any, weight: Any, heads: Any, c: Any, gate: Any
    ) -> tuple[Any, ...]:
        """Gradients of U h (n, 4H), of f (n, H), of c and of h (n, H)."""
        by_forget = c * gate * (1 - gate)
        products, forget, dc = _fall(F, F.take(found, heads), by_forget, gate, self.hidden)
        dh = F.FullyConnected(products, weight, no_bias=True, num_hidden=self.hidden)
        return products, forget, dc, dh
