"""A thread that ends the process when those that it works with are gone.

Holds no MXNet: who is dead is asked of a function. The main thread may hang in a call that never
returns, so that this thread writes the last line and ends the process itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import Any, Callable, Optional

from dope.core.distributing.roles import Role

EVERY = 1.0  # seconds between two looks
LOOKS = 3  # in a row that must find somebody gone: at its start, ps-lite takes all for dead
INTERRUPT, STOP = "interrupt", "stop"  # what a launcher says


class Watch:
    """Looks at the others once a second, and hears what the launcher says.

    Parameters
    ----------
    role
        This process's part.
    gone
        Says who is gone, as a sentence without a full stop, or None.
    """

    def __init__(self, role: Role, gone: Callable[[], Optional[str]]) -> None:
        self._role, self._gone = role, gone
        self._ended = threading.Event()
        self._waiting = ""
        self._until = float("inf")
        self.last_words: Callable[[str], Any] = lambda reason: None
        threading.Thread(target=self._look, name="dope-watch", daemon=True).start()
        if role.told:
            threading.Thread(target=self._hear, name="dope-launcher", daemon=True).start()

    def expect(self, what: str, seconds: float) -> None:
        """Give up if ``what`` takes longer than this; `met` says that it has come."""
        self._waiting, self._until = what, time.monotonic() + seconds

    def met(self) -> None:
        """What was expected has come."""
        self._until = float("inf")

    def end(self) -> None:
        """Look no more: this process leaves in good order."""
        self._ended.set()

    def _look(self) -> None:
        seen = 0
        while not self._ended.wait(EVERY):
            if time.monotonic() > self._until:
                self.give_up(self._waiting)
            reason = self._gone()
            seen = seen + 1 if reason else 0
            if reason and seen == LOOKS and not self._ended.is_set():
                self.give_up(reason)

    def _hear(self) -> None:
        said = b""
        while True:
            more = os.read(0, 4096)  # sys.stdin would hold a lock that the end of Python wants
            if not more:
                break
            *lines, said = (said + more).split(b"\n")
            for line in lines:
                word, _, reason = line.decode(errors="replace").strip().partition(" ")
                if word == INTERRUPT:
                    os.kill(os.getpid(), signal.SIGINT)
                elif word == STOP and not self._ended.is_set():
                    self.give_up(reason or "told to stop", "ends")
        if not self._ended.is_set():
            self.give_up("the launcher is gone")

    def give_up(self, reason: str, word: str = "error") -> None:
        """Say why, and end the process at once with exit code 1."""
        self._ended.set()
        with contextlib.suppress(Exception):  # whatever fails now, the process must end
            self.last_words(reason)
        with contextlib.suppress(Exception):
            print(f"{word}: {reason}", file=sys.stderr, flush=True)
            sys.stdout.flush()
        os._exit(1)
