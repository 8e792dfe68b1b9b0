"""Comparing two runs: parameters, saved bits and figures, each with a word on what differs.

Holds no runs; those are in ``case.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, Optional

from dope.core.rundir import plain

MOVED = 1e-5  # differences that rounding explains, as a share of how far parameters moved
SIZE = 1e-6  # and as a share of how large they are


def fail(text: str) -> NoReturn:
    """Say that a promise is not kept."""
    raise AssertionError(text)


def same_parameters(what: str, one: Any, other: Any) -> None:
    """Insist that two `Stepped` have the same parameters but for rounding."""
    import numpy as np

    if one.end.keys() != other.end.keys():
        fail(f"{what} there are other parameters: {sorted(one.end.keys() ^ other.end.keys())}")
    for key, a in one.end.items():
        b, start = other.end[key], one.start[key]
        apart, moved, size = (float(np.linalg.norm(x)) for x in (a - b, a - start, a))
        if not apart <= MOVED * moved + SIZE * size:
            fail(
                f"{what} {key[len('parameter/') :]} differs by {apart:.3g}, having moved by "
                f"{moved:.3g} to a size of {size:.3g}"
            )


def arrays(directory: Any) -> Mapping[str, Any]:
    """What a run's last checkpoint holds; it must be whole."""
    from dope.core.training.checkpoint import latest

    saved, problems = latest(directory.checkpoints)
    if saved is None or problems:
        fail(f"the last checkpoint of {directory.path} does not load: {problems}")
    return saved.arrays


def same_arrays(what: str, one: Any, other: Any) -> None:
    """Insist that two runs' last checkpoints are the same, bit for bit."""
    a, b = arrays(one), arrays(other)
    if a.keys() != b.keys():
        fail(f"{what} has saved other arrays: {sorted(a.keys() ^ b.keys())}")
    for key in a:
        if (a[key].dtype, a[key].tobytes()) != (b[key].dtype, b[key].tobytes()):
            fail(f"{what} ends with other bits in {key}")


def figures(run: Any) -> Any:
    """All figures of a run, of each epoch and of its end."""
    return {"metrics": plain(run.metrics), "epochs": run.directory.metrics()}


def same_figures(what: str, one: Any, other: Any, near: float = 0.0) -> None:
    """Insist that plain figures are the same, but for a share ``near``."""
    found = difference(one, other, near)
    if found:
        fail(f"{what} says otherwise: {found}")


def difference(one: Any, other: Any, near: float = 0.0, where: str = "") -> Optional[str]:
    """The first place where two plain values differ by more than a share ``near``."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return f"{where or 'keys'}: {sorted(one)} and {sorted(other)}"
        pairs = [(one[key], other[key], f"{where}.{key}".lstrip(".")) for key in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(a, b, f"{where}[{i}]") for i, (a, b) in enumerate(zip(one, other))]
    else:
        if isinstance(one, float) and isinstance(other, float):
            same = abs(one - other) <= near * max(abs(one), abs(other))
        else:
            same = one == other
        return None if same else f"{where}: {one!r} and {other!r}"
    return next((d for a, b, w in pairs if (d := difference(a, b, near, w))), None)


def numbers(value: Any, where: str = "") -> list[tuple[str, float]]:
    """Every number in nested figures, with its place."""
    if isinstance(value, Mapping):
        return [x for k, v in value.items() for x in numbers(v, f"{where}.{k}".lstrip("."))]
    if isinstance(value, (list, tuple)):
        return [x for i, v in enumerate(value) for x in numbers(v, f"{where}[{i}]")]
    return [(where, float(value))] if isinstance(value, (int, float)) else []
