"""Processes that run the members of a sweep side by side, and what is done when one dies.

Holds no judgement of members; what a process does with an order is worker.py's matter.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Protocol

# The path first, so that nothing of the current folder is taken for a module.
CODE = "import sys; sys.path[:] = sys.argv[1:]; from dope.core.sweeping.worker import main; main()"
GLANCE = 0.2  # seconds between two looks at signals and at the bar
RENEWED = 100  # members after which a process is replaced, for a little memory is lost with each
PATIENCE = 10.0  # seconds that idle processes get to end


class Watcher(Protocol):
    """Who is told how the members do."""

    def share(self, member: int, share: float) -> None:
        """A member is that far, from 0 to 1."""

    def over(self, row: Mapping[str, Any]) -> None:
        """A member is done, failed or interrupted."""

    def tick(self) -> None:
        """Some time has passed."""


class _Process:
    """One process, and the order that it works on."""

    def __init__(self, environment: Mapping[str, str], log: Path, kept: Sequence[int]) -> None:
        with log.open("ab") as handle:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CODE, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=handle,
                env=dict(environment),
                pass_fds=kept,
                start_new_session=True,  # Ctrl-C reaches it through us alone
            )
        assert self.process.stdin and self.process.stdout
        self.orders, self.answers = self.process.stdin, self.process.stdout
        self.order: Optional[Mapping[str, Any]] = None
        self.given = 0
        self._rest = b""

    def give(self, order: Mapping[str, Any]) -> None:
        self.order = order
        self.given += 1
        with contextlib.suppress(OSError):  # it is dead; its end of the pipe will say so
            self.orders.write(json.dumps(order).encode() + b"\n")
            self.orders.flush()

    def read(self) -> Optional[list[dict[str, Any]]]:
        """What it has said by now; None where it has ended."""
        found = os.read(self.answers.fileno(), 1 << 16)
        if not found:
            return None
        *lines, self._rest = (self._rest + found).split(b"\n")
        return [json.loads(line) for line in lines]

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def end(self, patience: float = PATIENCE) -> int:
        """Let it end; its exit code."""
        with contextlib.suppress(OSError):
            self.orders.close()
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.answers.close()
        return code


class Signals:
    """Counts the interrupts that came, in the main thread; elsewhere there are none."""

    def __init__(self) -> None:
        self.count = 0

    @contextlib.contextmanager
    def counted(self) -> Iterator[Signals]:
        """Count them within the block, in place of raising KeyboardInterrupt."""

        def note(number: int, frame: Any) -> None:
            self.count += 1

        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def work(
    orders: Sequence[Mapping[str, Any]],
    watcher: Watcher,
    *,
    jobs: int,
    environment: Mapping[str, str],
    log: Path,
    kept: Sequence[int] = (),
) -> bool:
    """Run all orders, at most ``jobs`` at a time; whether it was interrupted.

    The first interrupt lets the members that are running save and stop; the second stops them
    without; the third kills them.

    Parameters
    ----------
    orders
        As `worker.perform` takes them.
    watcher
        Told of each member.
    jobs
        Processes. One that dies is replaced; its member has failed.
    environment
        Of the processes.
    log
        What parts and processes print is added to this file.
    kept
        Descriptors that the processes inherit.
    """
    waiting, crew = deque(orders), set[_Process]()
    with Signals().counted() as signals, selectors.DefaultSelector() as selector:
        heard = 0
        try:
            while True:
                while waiting and not signals.count:
                    idle = next((each for each in crew if each.order is None), None)
                    if idle is not None and idle.given >= RENEWED:
                        _dismiss(idle, crew, selector)
                        idle = None
                    if idle is None and len(crew) >= jobs:
                        break
                    if idle is None:
                        idle = _Process(environment, log, kept)
                        crew.add(idle)
                        selector.register(idle.answers, selectors.EVENT_READ, idle)
                    idle.give(waiting.popleft())
                if not any(each.order for each in crew):
                    return bool(signals.count)
                for key, _ in selector.select(GLANCE):
                    _hear(key.data, watcher, crew, selector, bool(signals.count))
                if signals.count > heard:
                    heard = signals.count
                    for each in crew:
                        each.signal(signal.SIGINT if heard < 3 else signal.SIGKILL)
                watcher.tick()
        finally:
            for each in crew:
                each.end()


def _hear(
    process: _Process, watcher: Watcher, crew: set[_Process], selector: Any, stopping: bool
) -> None:
    """Pass on what a process has said; when it is dead, say so and let it go."""
    said = process.read()
    if said is None:
        code = _dismiss(process, crew, selector)
        if process.order is not None:
            watcher.over(_dead(process.order, code, stopping))
        return
    for each in said:
        if "share" in each:
            watcher.share(each["member"], each["share"])
        else:
            process.order = None
            watcher.over(each)


def _dismiss(process: _Process, crew: set[_Process], selector: Any) -> int:
    """Let a process go; its exit code."""
    selector.unregister(process.answers)
    crew.discard(process)
    return process.end()


def _dead(order: Mapping[str, Any], code: int, stopping: bool) -> dict[str, Any]:
    """What became of a member whose process has ended without a word."""
    how = f"ended with code {code}"
    if code < 0:
        with contextlib.suppress(ValueError):
            how = f"was killed by signal {-code} ({signal.Signals(-code).name})"
    row = {"member": order["member"], "bests": {}, "seconds": 0.0}
    if stopping:
        return {**row, "status": "interrupted", "error": ""}
    return {**row, "status": "failed", "error": f"its process {how}; workers.txt may say why"}


def environment(jobs: int, cores: int) -> dict[str, str]:
    """The environment of ``jobs`` processes that share the cores; what the user has set wins."""
    shared = dict(os.environ)
    if jobs > 1:
        shared.setdefault("OMP_NUM_THREADS", str(max(1, cores // jobs)))
    return shared
