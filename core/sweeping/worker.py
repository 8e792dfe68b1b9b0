"""The process that runs members of a sweep, one after the other, with MXNet imported once.

Holds no choice of members: orders come in as lines of JSON, and what became of each goes out so.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

from dope.core import api
from dope.core.callbacks import Callback
from dope.core.errors import DopeError
from dope.core.plugging.discovery import discover
from dope.core.rundir import RunDirectory
from dope.core.sweeping.standings import bests

if TYPE_CHECKING:
    from dope.core.plugging.registry import Registry
    from dope.core.trainer import Trainer

Tell = Callable[[Mapping[str, Any]], None]
GLANCE = 1.0  # seconds between two words on how far a member is


class Share(Callback):
    """Tell how far a member is.

    Parameters
    ----------
    member
        Its number.
    tell
        Takes what is told.
    """

    def __init__(self, member: int, tell: Tell) -> None:
        self._member, self._tell, self._last = member, tell, time.monotonic()

    def on_step_end(self, trainer: Trainer) -> None:
        now = time.monotonic()
        if now - self._last >= GLANCE:
            self._last = now
            share = trainer.total_steps / max(1, trainer.total_steps + trainer.steps_left)
            self._tell({"member": self._member, "share": share})


def perform(order: Mapping[str, Any], registry: Registry, tell: Tell) -> dict[str, Any]:
    """Run one member to its end; what became of it, never an error.

    Parameters
    ----------
    order
        ``member``, ``folder``, ``task``, ``profile``, ``file``, ``overrides``, ``contexts``,
        ``seed``; and ``monitor`` (a name or None) with ``larger``, whether larger is better.
    registry
        Known parts.
    tell
        Takes how far it is.

    Returns
    -------
    dict
        ``member``, ``status`` (done, failed or interrupted), ``seconds``, ``error``, and ``bests``
        as `bests` makes them.
    """
    row: dict[str, Any] = {"member": order["member"], "status": "failed", "error": "", "bests": {}}
    began = time.monotonic()
    try:
        result = _train(order, registry, tell)
        row["status"] = result["status"]
        if row["status"] == "done":
            rows = RunDirectory(order["folder"]).metrics()
            row["bests"] = bests(rows, result, order["monitor"], larger=order["larger"])
        row["seconds"] = result["seconds"]
    except KeyboardInterrupt:
        row["status"] = "interrupted"
    except DopeError as error:
        row["error"] = " ".join(str(error).split())
    except (Exception, SystemExit) as error:
        print(f"member {order['member']}:", file=sys.stderr)
        traceback.print_exc()
        first = next(iter(str(error).strip().splitlines()), "no message")
        row["error"] = f"unexpected {type(error).__name__}: {first[:300]}"
    row.setdefault("seconds", round(time.monotonic() - began, 3))
    return row


def _train(order: Mapping[str, Any], registry: Registry, tell: Tell) -> dict[str, Any]:
    """The result of a member's run: a new one, or one that goes on, or one that had ended."""
    folder = Path(order["folder"])
    known = RunDirectory(folder).read_json("result.json") or {}
    if known.get("status") == "done":  # killed between the run's end and its row
        return known
    callbacks = [Share(order["member"], tell)]
    if "settings" in known and (folder / "config.yaml").is_file():
        return api.resume(folder, callbacks=callbacks, registry=registry).result
    shutil.rmtree(folder, ignore_errors=True)  # killed before it had begun
    return api.run(
        order["task"],
        profile=order["profile"],
        file=order["file"],
        overrides=order["overrides"],
        folder=folder,
        contexts=order["contexts"],
        seed=order["seed"],
        callbacks=callbacks,
        registry=registry,
    ).result


def serve(lines: Iterable[str], tell: Tell) -> None:
    """Perform the orders that come in, until there are no more.

    When the lines end while a member is running, whoever gave the orders is gone: the member then
    saves and stops, as with Ctrl-C.
    """
    orders: queue.Queue[Optional[dict[str, Any]]] = queue.Queue()
    busy = threading.Event()

    def listen() -> None:
        for line in lines:
            busy.set()
            orders.put(json.loads(line))
        orders.put(None)
        if busy.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=listen, daemon=True).start()
    registry = None
    for order in iter(orders.get, None):
        registry = registry or discover()
        row = perform(order, registry, tell)
        gc.collect()  # networks and trainers refer to each other, and hold arrays
        busy.clear()
        tell(row)


def main() -> None:
    """Serve orders from standard input; what parts print goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(what: Mapping[str, Any]) -> None:
        try:
            out.write(json.dumps(what) + "\n")
            out.flush()
        except BrokenPipeError:  # nobody listens; the run's own files stand
            pass

    try:
        serve(sys.stdin, tell)
    except KeyboardInterrupt:
        sys.exit(130)
