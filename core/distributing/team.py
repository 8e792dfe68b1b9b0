"""The workers of a run as one of them sees them: sums, and words from one to all.

Holds what is said through MXNet's ``dist_sync`` store; the update is each worker's own, the same
everywhere.
"""

from __future__ import annotations

import atexit
import json
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import numpy as np

from dope.core.backend import mx, nd
from dope.core.distributing import store, wire
from dope.core.distributing.roles import Role, role
from dope.core.distributing.watching import Watch
from dope.core.errors import RunError

BUCKET = 1 << 20  # gradients that go together, in entries; MXNet cuts longer ones up itself


class Alone:
    """A worker without others: nothing is sent, and whatever it says is agreed."""

    rank, size, leads = 0, 1, True

    def reduce(self, grads: Sequence[Any], name: str) -> None:
        """Nothing to add."""

    def spread(self, arrays: Sequence[Any]) -> None:
        """Nobody to send to."""

    def gather(self, values: np.ndarray) -> np.ndarray:
        """One row."""
        return values[None]

    def share(self, value: Any) -> Any:
        """The value itself."""
        return value

    def share_arrays(self, arrays: Optional[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The arrays themselves."""
        return dict(arrays or {})

    def any(self, *flags: bool) -> list[bool]:
        """The flags themselves."""
        return list(flags)

    def compress(self, threshold: float) -> None:
        """Nothing is sent."""

    def on_loss(self, function: Callable[[str], Any]) -> None:
        """Nobody is lost."""

    def leave(self, *, failed: bool = False) -> None:
        """Nothing to leave."""


ALONE = Alone()


class Team(Alone):
    """The workers of a distributed run; every call is made by all of them, in the same order.

    Parameters
    ----------
    part
        This worker's role.

    Attributes
    ----------
    rank
        This worker's number, from 0; the one with number 0 ``leads``: it writes the run's folder.
    size
        How many workers there are.
    """

    def __init__(self, part: Role) -> None:
        self._role, self._known = part, set[str]()
        self._store: Any = None
        self._level: Optional[float] = None
        self._watch = Watch(part, self._gone)
        self._watch.expect(f"the scheduler {part.scheduler} cannot be reached", store.REACH + 5)
        store.reach(part)
        others = f"{part.workers} workers and {part.servers} servers"
        self._watch.expect(
            f"{part.patience} s have passed and not all of {others} have started", part.patience
        )
        self._store = store.create(part)
        self._watch.met()
        self.size = int(self._store.num_workers)
        self.rank = int(self._store.rank) if part.rank is None else part.rank
        self.leads = self.rank == 0
        try:
            self._greet()
        except BaseException:
            self.leave(failed=True)
            raise

    def _gone(self) -> Optional[str]:
        if self._store is None or not store.dead(self._store, store.SCHEDULER, self._role.silence):
            return None
        return store.unheard(self._role)

    def _greet(self) -> None:
        """Insist that all workers have numbers of their own and the same software."""
        from dope import __version__

        own = f"dope {__version__}, MXNet {mx.__version__}, NumPy {np.__version__}"
        text = f"{self.rank}|{own}|{platform.node()}"
        rows = self._exchange(text.encode()[:240].ljust(240), slot=int(self._store.rank))
        greetings = [row.decode(errors="replace").strip().split("|") for row in rows]
        if sorted(int(each[0]) for each in greetings) != list(range(self.size)):
            numbers = ", ".join(each[0] for each in greetings)
            raise RunError(f"the workers have the numbers {numbers}", "Give each its own, from 0.")
        first = min(greetings, key=lambda each: int(each[0]))
        for number, software, host in greetings:
            if software != first[1]:
                raise RunError(
                    f"worker {number} on {host} has {software}, worker 0 on {first[2]} {first[1]}",
                    "Install the same on all machines.",
                )

    def compress(self, threshold: float) -> None:
        """Let gradients be sent as two bits each: -threshold, 0 or threshold.

        What is left over is added to the next gradient (as in MXNet's ``2bit`` compression).
        """
        self._store.set_gradient_compression({"type": "2bit", "threshold": threshold})
        self._level = threshold

    def reduce(self, grads: Sequence[Any], name: str) -> None:
        """Replace each gradient by its sum over all workers.

        Arrays of float64 are added exactly, in the order of the workers; others as float32,
        in the order in which they arrive: of three or more workers the last bit may differ from
        run to run.

        Parameters
        ----------
        grads
            The same arrays at each call, one copy of each parameter's.
        name
            Of the group: what compression leaves over is kept for it.
        """
        wide = [grad for grad in grads if grad.dtype == np.float64]
        for grad in wide:
            total = self.gather(grad.asnumpy()).sum(axis=0)
            grad[:] = nd.array(total, ctx=grad.context, dtype=grad.dtype)
        for number, bucket in enumerate(_buckets([g for g in grads if g.dtype != np.float64])):
            flat = [grad.astype("float32", copy=False).reshape((-1,)) for grad in bucket]
            together = flat[0].copy() if len(flat) == 1 else nd.concat(*flat, dim=0)
            self._add_up(f"grads/{name}/{number}", together)
            start = 0
            for grad in bucket:
                part = together[start : start + grad.size].reshape(grad.shape)
                part.astype(grad.dtype, copy=False).copyto(grad)
                start += grad.size

    def spread(self, arrays: Sequence[Any]) -> None:
        """Replace each array by that of worker 0."""
        given = {str(i): each.asnumpy() for i, each in enumerate(arrays)} if self.leads else None
        found = self.share_arrays(given)
        for i, each in enumerate(arrays):
            each[:] = nd.array(found[str(i)], ctx=each.context, dtype=each.dtype)

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Arrays of one shape and type from all workers, exactly: shape (workers, ...)."""
        rows = self._exchange(np.ascontiguousarray(values).tobytes())
        return np.stack([np.frombuffer(row, values.dtype).reshape(values.shape) for row in rows])

    def share(self, value: Any) -> Any:
        """What worker 0 gives, for all; as JSON holds it."""
        return json.loads(
            self._from_leader(json.dumps(value, default=float).encode() if self.leads else b"")
        )

    def share_arrays(self, arrays: Optional[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Arrays by name that worker 0 gives, for all, bit for bit; others give None."""
        found = dict(arrays or {})
        forms = {key: (str(each.dtype), list(each.shape)) for key, each in found.items()}
        forms = self.share(forms if self.leads else None)
        made = {}
        for key, (kind, shape) in forms.items():
            size = int(np.dtype(kind).itemsize * np.prod(shape, dtype=int))
            given = np.ascontiguousarray(found[key]).tobytes() if self.leads else b""
            payload = self._spoken(given, size)
            made[key] = np.frombuffer(payload, kind).reshape(shape).copy()
        return made

    def any(self, *flags: bool) -> list[bool]:
        """Whether any worker says so, for each flag."""
        return [bool(each) for each in self.gather(np.array(flags, np.uint8)).any(axis=0)]

    def leave(self, *, failed: bool = False) -> None:
        """End this worker's part: wait for the others, or not where it has failed."""
        if self._store is None:
            return
        if failed:  # MXNet's goodbye would wait for the others, and so would the end of Python
            self._watch.end()
            kept, self._store = self._store, None
            kept.handle = None
            atexit.register(os._exit, 1)
            return
        self._store._barrier()
        self._watch.end()
        self._store = None  # frees it

    def on_loss(self, function: Callable[[str], Any]) -> None:
        """Call this with the reason before this process is ended because its team is gone."""
        self._watch.last_words = function

    def _from_leader(self, payload: bytes) -> bytes:
        """Bytes of any length from worker 0."""
        size = self._spoken(len(payload).to_bytes(8, "little"), 8)
        return self._spoken(payload, int.from_bytes(size, "little"))

    def _spoken(self, payload: bytes, size: int) -> bytes:
        """``size`` bytes from worker 0: the others add zeros."""
        if not size:
            return b""
        count = wire.floats_of(size, self._level)
        own = wire.to_floats(payload, self._level) if self.leads else np.zeros(count, np.float32)
        found = []
        for start in range(0, count, BUCKET):
            part = nd.array(own[start : start + BUCKET])
            self._add_up(f"words/{part.size}", part)
            found.append(part.asnumpy())
        return wire.to_bytes(np.concatenate(found), size, self._level)

    def _exchange(self, payload: bytes, slot: Optional[int] = None) -> list[bytes]:
        """Bytes of the same length from each worker: each fills its own part, the rest is zero."""
        if not payload:
            return [b""] * self.size
        own = wire.to_floats(payload, self._level)
        table = np.zeros((self.size, len(own)), np.float32)
        table[self.rank if slot is None else slot] = own
        together = nd.array(table.ravel())
        self._add_up(f"words/{together.size}", together)
        rows = together.asnumpy().reshape(table.shape)
        return [wire.to_bytes(row, len(payload), self._level) for row in rows]

    def _add_up(self, key: str, array: Any) -> None:
        """Replace a float32 array on the CPU by its sum over the workers."""
        if key not in self._known:
            self._store.init(key, nd.zeros_like(array))
            self._known.add(key)
        if self._level is None:
            self._store.pushpull(key, array, out=array)
        else:
            self._store.push(key, array)
            self._store.pull(key, out=array)


def join() -> Alone:
    """The team that this process is a worker of, or `ALONE`.

    Raises
    ------
    ConfigError, RunError, BackendError
        The environment is incomplete; the scheduler cannot be reached; the workers differ.
    """
    part = role()
    return ALONE if part is None else Team(part)


def _buckets(grads: Sequence[Any]) -> list[list[Any]]:
    """Gradients in groups that are sent together."""
    made: list[list[Any]] = []
    filled = BUCKET
    for grad in grads:
        if filled + grad.size > BUCKET:
            made.append([])
            filled = 0
        made[-1].append(grad)
        filled += grad.size
    return made
