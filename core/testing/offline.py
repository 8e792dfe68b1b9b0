"""What the contract suite does by the command line: bad options, and a quick run without network.

Holds the jobs of a process of its own; nothing imports this module. Judged in ``commands.py``.
"""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any

from dope import cli
from dope.core.plugging.discovery import discover
from dope.core.plugging.registry import Registry
from dope.core.testing.fresh import do

NEAR = ("localhost", "127.0.0.1", "::1", "")
RESOLVES = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")


def dope(order: dict[str, Any], registry: Registry, *arguments: str) -> dict[str, Any]:
    """One command line: its exit code and what it printed."""
    if not order["installed"]:  # a registry that was made by hand
        vars(cli)["discover"] = lambda **options: registry
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.cli.main(list(arguments))
        except SystemExit as leaving:
            code = leaving.code
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def usage(order: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """Runs with options that cannot be, each with its answer."""
    if order["installed"]:
        discover()  # now, so that what a plugin prints is in the first answer only
    asked = order["wrong"]
    return {w: dope(order, registry, "run", order["task"], w, "--quiet") for w in asked}


def quick(order: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """A run with the profile quick, and the places that it asked the network for."""
    reached: list[str] = []

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in RESOLVES:
            host = arguments[0]
        elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
            host = arguments[1][0]
        else:
            return
        name = host.decode(errors="replace") if isinstance(host, bytes) else str(host or "")
        if name not in NEAR:
            reached.append(name)
            raise OSError(f"no network in this check: {name}")

    sys.addaudithook(refuse)
    runs = ["--runs", order["runs"], "--quiet"]
    return {**dope(order, registry, "run", order["task"], *runs), "reached": reached}


if __name__ == "__main__":
    do({"usage": usage, "quick": quick})
