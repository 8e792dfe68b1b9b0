"""The board and the reports over HTTP, for the browser on this machine, read-only.

Holds the server; what it shows is board.py's and page.py's matter.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from pathlib import Path
from typing import Any, Optional, Union
from urllib.parse import quote, unquote, urlsplit

from dope.core.plugging.discovery import discover
from dope.core.plugging.registry import Registry
from dope.core.reporting import board, page, reading
from dope.core.rundir import DEFAULT_ROOT

LOOPBACK = "127.0.0.1"
PORT = 8710
WATCHED = ("config.yaml", "result.json", "metrics.jsonl", "log.txt")

Answer = tuple[int, str, bytes]


class Server(http.server.ThreadingHTTPServer):
    """Answers questions of this machine alone: the board, its data, and the report of each run.

    No path of the file system is ever made from what is asked: a run is looked up among those
    that were found in the folder of runs, links that lead out of it left aside.

    Parameters
    ----------
    runs
        The folder of all runs.
    port
        0 takes one that is free.
    registry
        Known parts; by default those of all installed plugins.

    Raises
    ------
    RunError
        There is no such folder.
    OSError
        The port is taken.
    """

    daemon_threads = True

    def __init__(
        self,
        runs: Union[str, Path] = DEFAULT_ROOT,
        port: int = PORT,
        registry: Optional[Registry] = None,
    ) -> None:
        self.runs, self.registry = Path(runs), registry or discover()
        reading.folders(runs)  # that there are any
        self._rows: dict[Path, tuple[Any, dict[str, Any]]] = {}
        self._lock = threading.Lock()
        super().__init__((LOOPBACK, port), Handler)

    @property
    def url(self) -> str:
        """Where the board is."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    @property
    def hosts(self) -> frozenset[str]:
        """Names that a browser on this machine may know the server by."""
        port = self.server_port
        return frozenset({f"{LOOPBACK}:{port}", f"localhost:{port}"})

    def answer(self, path: str) -> Answer:
        """Status, type and body for a path of the URL."""
        if path == "/":
            text = board.html(self.runs, self.rows(), live=True)
            return 200, "text/html; charset=utf-8", text.encode("utf-8", "replace")
        if path == "/data.json":
            text = json.dumps(board.data(self.rows(), live=True), separators=(",", ":"))
            return 200, "application/json", text.encode()
        if path.startswith("/report/"):
            asked = unquote(path[len("/report/") :])
            folder = dict(self._found()).get(asked)
            if folder is not None:
                text = page.html(reading.read(folder, asked.rpartition("/")[2]), self.registry)
                return 200, "text/html; charset=utf-8", text.encode("utf-8", "replace")
        return 404, "text/plain; charset=utf-8", b"There is nothing here.\n"

    def rows(self) -> list[dict[str, Any]]:
        """What the board holds of each run; only what has changed is read again."""
        found = []
        with self._lock:
            for name, folder in reading.folders(self.runs):
                state = _state(folder)
                if folder not in self._rows or self._rows[folder][0] != state:
                    href = f"report/{quote(folder.relative_to(self.runs).as_posix())}"
                    self._rows[folder] = state, board.row(reading.read(folder, name), href)
                found.append(self._rows[folder][1])
        return found

    def _found(self) -> list[tuple[str, Path]]:
        """Runs by their paths below the folder of all runs."""
        return [
            (folder.relative_to(self.runs).as_posix(), folder)
            for _, folder in reading.folders(self.runs)
        ]


class Handler(http.server.BaseHTTPRequestHandler):
    """One question; only GET and HEAD are answered, and only where the Host is this machine's."""

    server: Server
    server_version = "dope"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._reply(body=True)

    def do_HEAD(self) -> None:
        self._reply(body=False)

    def _reply(self, *, body: bool) -> None:
        """Refuse names that are not ours: another site's name may be made to lead here."""
        if self.headers.get("Host", "") not in self.server.hosts:
            status, kind, made = 403, "text/plain; charset=utf-8", b"Ask 127.0.0.1.\n"
        else:
            status, kind, made = self.server.answer(urlsplit(self.path).path)
        tag = f'"{hashlib.sha256(made).hexdigest()[:32]}"'
        if status == 200 and self.headers.get("If-None-Match") == tag:
            status, made = 304, b""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(made)))
        self.send_header("ETag", tag)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.end_headers()
        if body and made:
            self.wfile.write(made)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is the user's."""


def _state(folder: Path) -> tuple[Any, ...]:
    """What changes when a run goes on."""
    found: list[Any] = []
    for name in WATCHED:
        try:
            held = (folder / name).stat()
            found.append((held.st_mtime_ns, held.st_size))
        except OSError:
            found.append(None)
    return tuple(found)
