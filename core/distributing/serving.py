"""The processes without a model: a server that adds gradients up, the scheduler that knows all.

Holds their life; what they do with gradients is MXNet's.
"""

from __future__ import annotations

import ctypes
import socket
from typing import Any, Optional

from dope.core.backend import mx
from dope.core.distributing import store
from dope.core.distributing.roles import Role
from dope.core.distributing.watching import Watch
from dope.core.errors import RunError


def serve(part: Role) -> None:
    """Be the server or the scheduler until the workers are done.

    MXNet's own loop unpickles whatever a client sends it; this one takes no commands at all.

    Raises
    ------
    RunError
        The scheduler's port is in use; or, for a server, nobody listens there.
    """
    node = _Node(part)
    if part.kind == "scheduler":
        insist_free(part.host, part.port)
    else:
        store.reach(part)
    others = f"{part.workers} workers and {part.servers} servers"
    late = f"{part.patience} s have passed and not all of {others} have started"
    node.watch.expect(late, part.patience)
    node.store = store.create(part)
    refuse = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(_ignored)
    mx.base.check_call(mx.base._LIB.MXKVStoreRunServer(node.store.handle, refuse, None))
    node.watch.end()


class _Node:
    """What the watch of a server or scheduler looks at."""

    def __init__(self, part: Role) -> None:
        self.part = part
        self.store: Any = None
        self._met = False
        scheduler = part.kind == "scheduler"
        self._others = store.SERVERS + store.WORKERS if scheduler else store.SCHEDULER
        self.watch = Watch(part, self.gone)

    def gone(self) -> Optional[str]:
        part = self.part
        if self.store is None:
            return None
        if not self._met:
            if not store.dead(self.store, self._others, -1):
                return None  # others are still on their way
            self._met = True
            self.watch.met()
        if part.kind == "server":
            lost = store.dead(self.store, store.SCHEDULER, part.silence)
            return store.unheard(part) if lost else None
        for kind, count, first in (("server", part.servers, 8), ("worker", part.workers, 9)):
            for number in range(count):  # ps-lite's numbers of single nodes
                if store.dead(self.store, first + 2 * number, part.silence):
                    return (
                        f"{kind} {number} (by MXNet's count) was not heard of for "
                        f"{part.silence} s: it has ended, or the network is broken. {store.GO_ON}"
                    )
        return None


def _ignored(number: int, body: Any, _: Any) -> None:
    """Take no commands."""


def insist_free(host: str, port: int) -> None:
    """Refuse a port that somebody listens on.

    Raises
    ------
    RunError
        It is in use.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("", port))
        except OSError as error:
            raise RunError(
                f"the scheduler cannot listen on port {port} ({error.strerror})",
                "Choose another one: dope launch --port N, or DMLC_PS_ROOT_PORT.",
            ) from None
