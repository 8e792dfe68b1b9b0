"""The machines of a distributed run, from a file, and which process goes where.

Holds names and numbers; processes are started in launching.py.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from dope.core.errors import ConfigError

HERE = "127.0.0.1"
KEYS = ("address", "workers", "servers")


@dataclass(frozen=True)
class Host:
    """One machine.

    Parameters
    ----------
    name
        What the remote shell calls it; empty for this machine.
    address
        The IP address by which the others reach it.
    workers, servers
        How many processes it takes; None for as many as fall to it.
    """

    name: str
    address: str
    workers: Optional[int] = None
    servers: Optional[int] = None


LOCAL = Host("", HERE)


def read_hosts(path: Path) -> list[Host]:
    """The machines that a file names, one a line.

    A line is ``NAME [address=IP] [workers=N] [servers=N]``; what follows ``#`` is a comment. The
    address is by default what the name resolves to. The first machine has the scheduler.

    Raises
    ------
    ConfigError
        The file cannot be read, or a line is not of this form; the file and the line are named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"cannot read {path}: {reason}", "It names a host a line.") from None
    found: list[Host] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"{path}, line {number}"
        found.append(_host(words, where))
        if found[-1].name in [each.name for each in found[:-1]]:
            raise ConfigError(f"{where}: {words[0]} is named twice", "Give it workers=2 instead.")
    if not found:
        raise ConfigError(f"{path} names no host", "Write one a line.")
    return found


def _host(words: Sequence[str], where: str) -> Host:
    name, given = words[0], dict(word.partition("=")[::2] for word in words[1:])
    wrong = [key for key in given if key not in KEYS]
    if wrong or "=" in name or name.startswith("-"):
        raise ConfigError(
            f"{where}: '{(wrong or [name])[0]}' is not understood",
            "A line is: NAME [address=IP] [workers=N] [servers=N]",
        )
    counts: dict[str, Optional[int]] = {"workers": None, "servers": None}
    for key in counts:
        if key in given:
            if not given[key].isdecimal():
                raise ConfigError(f"{where}: {key}={given[key]} is no number", "It is 0 or more.")
            counts[key] = int(given[key])
    address = given.get("address") or name
    try:
        address = socket.gethostbyname(address)
    except OSError:
        raise ConfigError(
            f"{where}: the address of {name} is not known", "Add address=IP."
        ) from None
    return Host(name, address, **counts)


def placed(hosts: Sequence[Host], count: int, what: str) -> list[Host]:
    """A machine for each of ``count`` processes, in turn; none gets more than it says.

    Raises
    ------
    ConfigError
        They take fewer in all.
    """
    room = {host.name: getattr(host, what) for host in hosts}
    made: list[Host] = []
    while len(made) < count:
        before = len(made)
        for host in hosts:
            left = room[host.name]
            if len(made) < count and (left is None or left > 0):
                made.append(host)
                room[host.name] = None if left is None else left - 1
        if len(made) == before:
            raise ConfigError(
                f"the hosts take {before} {what}, {count} are wanted",
                f"Raise {what}= in the file of hosts.",
            )
    return made
