"""MXNet's distributed store: reached, made, asked who is silent.

Holds what any process of a run needs of it; what workers do with it is in team.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import time
from typing import Any

from dope.core.backend import mx
from dope.core.distributing.roles import SILENCE, Role
from dope.core.errors import BackendError, RunError

SCHEDULER, SERVERS, WORKERS = 1, 2, 4  # groups of nodes, as ps-lite numbers them
DIVIDED = 1 << 15  # entries from which on all servers share an array; MXNet's own is a million
REACH = 60  # seconds in which the scheduler must be reachable
GO_ON = "Go on with dope resume."


def create(part: Role) -> Any:
    """MXNet's store for this process's role; as a worker's, it waits until all have started."""
    os.environ.setdefault("PS_HEARTBEAT_INTERVAL", "2")
    os.environ.setdefault("MXNET_KVSTORE_BIGARRAY_BOUND", str(DIVIDED))
    os.environ.setdefault(SILENCE, str(part.silence))
    try:
        return mx.kv.create("dist_sync")
    except mx.base.MXNetError as error:
        lines = [line.strip() for line in str(error).splitlines() if "Check failed" in line]
        raise BackendError(
            f"MXNet's distributed store does not start: {(lines or [str(error)])[-1][:300]}",
            f"Look whether {part.scheduler} is the scheduler of this run.",
        ) from error


def unheard(part: Role) -> str:
    """What is said when the scheduler is silent."""
    why = "it has ended, and its log says why, or the network is broken"
    return f"the scheduler {part.scheduler} was not heard of for {part.silence} s: {why}. {GO_ON}"


def reach(part: Role) -> None:
    """Insist that somebody listens where the scheduler should be.

    Raises
    ------
    RunError
        Nobody does, for a minute.
    """
    end = time.monotonic() + min(REACH, part.patience)
    while True:
        try:
            with socket.create_connection((part.host, part.port), timeout=5):
                return
        except OSError as error:
            if time.monotonic() > end:
                reason = error.strerror or str(error)
                raise RunError(
                    f"the scheduler {part.scheduler} cannot be reached ({reason})",
                    "Start it, open its port, or mend DMLC_PS_ROOT_URI and DMLC_PS_ROOT_PORT.",
                ) from None
            time.sleep(0.2)


def dead(store: Any, group: int, silence: int) -> int:
    """How many nodes of a group have given no sign of life for so many seconds.

    A scheduler knows of all nodes, the others know of the scheduler. With ``silence`` -1 it is the
    number of nodes that the store knows at all.
    """
    found = ctypes.c_int()
    with contextlib.suppress(mx.base.MXNetError):
        mx.base.check_call(
            mx.base._LIB.MXKVStoreGetNumDeadNode(
                store.handle, ctypes.c_int(group), ctypes.byref(found), ctypes.c_int(silence)
            )
        )
    return int(found.value)
