"""Which part a process plays in a distributed run, as the DMLC_* variables say.

Holds the reading of the environment; it imports nothing heavy, so that any command may ask.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from dope.core.errors import ConfigError

ROLES = ("worker", "server", "scheduler")
RANK, FOLDER, STDIN = "DOPE_RANK", "DOPE_FOLDER", "DOPE_STDIN"
SILENCE, JOIN = "PS_HEARTBEAT_TIMEOUT", "DOPE_JOIN_TIMEOUT"
DEFAULT_SILENCE, DEFAULT_JOIN = 20, 300


@dataclass(frozen=True)
class Role:
    """The part of one process.

    Parameters
    ----------
    kind
        ``worker``, ``server`` or ``scheduler``.
    workers, servers
        How many of each there are.
    host, port
        Where the scheduler listens.
    rank
        The worker's number if somebody has given it one; else MXNet does.
    silence
        Seconds without a sign of life after which a process counts as dead.
    patience
        Seconds that a process waits for all others to start.
    told
        Whether a launcher speaks to this process through its standard input.
    """

    kind: str
    workers: int
    servers: int
    host: str
    port: int
    rank: Optional[int] = None
    silence: int = DEFAULT_SILENCE
    patience: int = DEFAULT_JOIN
    told: bool = False

    @property
    def scheduler(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"


def role(environment: Optional[Mapping[str, str]] = None) -> Optional[Role]:
    """This process's part, or None where it trains alone.

    Parameters
    ----------
    environment
        Default ``os.environ``. ``DMLC_ROLE``, ``DMLC_NUM_WORKER``, ``DMLC_NUM_SERVER``,
        ``DMLC_PS_ROOT_URI`` and ``DMLC_PS_ROOT_PORT`` as MXNet has them. Of our own are
        ``DOPE_RANK`` (the worker's number, from 0), ``DOPE_JOIN_TIMEOUT`` (seconds to wait for
        the others, default 300); ``PS_HEARTBEAT_TIMEOUT`` are the seconds of silence after which
        a process counts as dead, default 20.

    Raises
    ------
    ConfigError
        A variable is missing or no number, or the role is none.
    """
    found = os.environ if environment is None else environment
    kind = found.get("DMLC_ROLE")
    if not kind:
        return None
    if kind not in ROLES:
        raise ConfigError(f"DMLC_ROLE is '{kind}'", f"It is one of {', '.join(ROLES)}.")
    host = found.get("DMLC_PS_ROOT_URI")
    if not host:
        raise ConfigError("DMLC_ROLE is set, DMLC_PS_ROOT_URI is not", SET_ALL)
    workers = _number(found, "DMLC_NUM_WORKER")
    rank = _number(found, RANK, least=0) if found.get(RANK) else None
    if rank is not None and rank >= workers:
        raise ConfigError(f"{RANK} is {rank} of {workers} workers", "It counts from 0.")
    return Role(
        kind=kind,
        workers=workers,
        servers=_number(found, "DMLC_NUM_SERVER"),
        host=host,
        port=_number(found, "DMLC_PS_ROOT_PORT"),
        rank=rank,
        silence=_number(found, SILENCE, default=DEFAULT_SILENCE),
        patience=_number(found, JOIN, default=DEFAULT_JOIN),
        told=found.get(STDIN) == "1",
    )


SET_ALL = (
    "Set DMLC_ROLE, DMLC_NUM_WORKER, DMLC_NUM_SERVER, DMLC_PS_ROOT_URI and DMLC_PS_ROOT_PORT, or "
    "none of them; dope launch sets them all."
)


def _number(
    found: Mapping[str, str], name: str, *, least: int = 1, default: Optional[int] = None
) -> int:
    text = found.get(name, "")
    if not text and default is not None:
        return default
    if not text.isdecimal() or int(text) < least:
        said = f"is '{text}'" if text else "is not set"
        raise ConfigError(f"{name} {said}, a whole number from {least} on is wanted", SET_ALL)
    return int(text)
