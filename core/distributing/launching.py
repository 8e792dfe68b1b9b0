"""All processes of a distributed run: started, listened to, ended together.

Holds no training: each process is a ``dope`` command with MXNet's variables set.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Optional

from dope.core.cores import SHARE
from dope.core.distributing import roles
from dope.core.distributing.hosts import HERE, LOCAL, Host, placed
from dope.core.distributing.watching import INTERRUPT, STOP
from dope.core.errors import RunError

RSH = "ssh -o BatchMode=yes"
PORT = 9091  # of the scheduler, where it is on another machine
ERROR = b"error: "
GRACE = 10.0  # seconds that processes have to end after they were told to
PROGRAM = "from dope.cli import main; main()"
PASSED_ON = ("OMP_", "MXNET_", "PS_", "DOPE_")  # variables that processes elsewhere get, too


def serves() -> bool:
    """Be the server or the scheduler where this process is one, until the run is over."""
    part = roles.role()
    if part is None or part.kind == "worker":
        return False
    from dope.core.distributing.serving import serve

    serve(part)
    return True


@dataclass(frozen=True)
class Plan:
    """What is to be started, and where.

    Parameters
    ----------
    words
        The command that each process is given: ``run TASK …`` or ``resume RUN …``.
    folder
        The run's folder; logs go into ``workers/`` below it.
    workers, servers
        How many.
    hosts
        Machines; none means this one.
    rsh
        Remote shell: called with a machine's name and a command.
    python
        Interpreter on the machines.
    port
        Of the scheduler; default a free one, or 9091 where it is on another machine.
    """

    words: Sequence[str]
    folder: Path
    workers: int = 2
    servers: int = 1
    hosts: Sequence[Host] = ()
    rsh: str = RSH
    python: str = sys.executable
    port: Optional[int] = None


@dataclass
class Node:
    """One process of a run."""

    kind: str
    number: int
    host: Host
    process: Any = None
    error: str = ""  # what it said last of what went wrong
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def name(self) -> str:
        """``worker 1``, or ``scheduler``."""
        return self.kind if self.kind == "scheduler" else f"{self.kind} {self.number}"

    @property
    def where(self) -> str:
        """Its name, and its machine if that is not this one."""
        return f"{self.name} on {self.host.name}" if self.host.name else self.name

    def tell(self, *words: str) -> None:
        """Say something on its standard input."""
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(" ".join(words).encode() + b"\n")
            self.process.stdin.flush()


def start(plan: Plan) -> int:
    """Start all processes, pass on what they say, and end all when one fails.

    Returns
    -------
    int
        The exit code: 0; that of the process that failed first; 130 after an interrupt.

    Raises
    ------
    RunError
        A process failed: which, how, and where its log is; or the port is in use.
    """
    nodes = _nodes(plan)
    logs = plan.folder / "workers"
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make the folder {logs}: {error.strerror}", "Choose another with --runs DIR."
        ) from error
    environment = _environment(plan, nodes[0].host)
    signals: list[int] = []
    with _heard(signals):
        try:
            for node in nodes:
                _begin(plan, node, environment, logs)
            failed = _wait(nodes, signals)
        finally:
            _end(nodes)
    if failed is None:
        return 130 if signals else 0
    code = failed.process.returncode
    if signals and code == 130:
        return 130
    raise _failure(plan, failed, code, logs)


def _nodes(plan: Plan) -> list[Node]:
    hosts = list(plan.hosts) or [LOCAL]
    nodes = [Node("scheduler", 0, hosts[0])]
    for kind, count in (("server", plan.servers), ("worker", plan.workers)):
        nodes += [Node(kind, i, h) for i, h in enumerate(placed(hosts, count, f"{kind}s"))]
    return nodes


def _environment(plan: Plan, root: Host) -> dict[str, str]:
    """The variables that all processes share."""
    if plan.port is not None:
        port = plan.port
    elif root.name:
        port = PORT
    else:
        with socket.socket() as trial:
            trial.bind((HERE, 0))
            port = trial.getsockname()[1]
    return {
        "DMLC_PS_ROOT_URI": root.address,
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NUM_WORKER": str(plan.workers),
        "DMLC_NUM_SERVER": str(plan.servers),
        roles.FOLDER: str(plan.folder.absolute()),
        roles.STDIN: "1",
    }


def _begin(plan: Plan, node: Node, shared: Mapping[str, str], logs: Path) -> None:
    own = {**shared, "DMLC_ROLE": node.kind, "DMLC_NODE_HOST": node.host.address}
    if node.kind == "worker":
        own[roles.RANK] = str(node.number)
        hosts = list(plan.hosts) or [LOCAL]
        here = placed(hosts, plan.workers, "workers").count(node.host)
        own[SHARE] = str(here)
    else:
        own.setdefault("OMP_NUM_THREADS", "1")
    command = [plan.python, "-c", PROGRAM, *plan.words]
    if node.host.name:
        passed = {k: v for k, v in os.environ.items() if k.startswith(PASSED_ON)}
        settings = [f"{key}={value}" for key, value in {**passed, **own}.items()]
        inside = shlex.join(["env", *settings, *command])
        shell = f"cd {shlex.quote(str(Path.cwd()))} && exec {inside}"
        command = [*shlex.split(plan.rsh), node.host.name, *_remote(plan.rsh, shell)]
    try:
        node.process = subprocess.Popen(
            command,
            env={**os.environ, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
    except OSError as error:
        raise RunError(
            f"cannot start {node.where}: {command[0]}: {error.strerror}",
            "See --rsh and --python of dope launch.",
        ) from error
    path = logs / f"{node.name.replace(' ', '-')}.log"
    log = path.open("ab", buffering=0)
    leader = node.kind == "worker" and node.number == 0
    for stream, to, prefix in (
        (node.process.stdout, sys.stdout, "" if leader else f"[{node.name}] "),
        (node.process.stderr, sys.stderr, f"[{node.name}] "),
    ):
        to = to if leader else sys.stderr
        given = (node, stream, to, prefix, log)
        thread = threading.Thread(target=_pass_on, args=given, daemon=True)
        thread.start()
        node.threads.append(thread)


def _remote(rsh: str, shell: str) -> list[str]:
    """The command as the remote shell wants it: ssh joins its words, others run them."""
    return [shell] if Path(shlex.split(rsh)[0]).name == "ssh" else ["sh", "-c", shell]


def _pass_on(node: Node, stream: IO[bytes], to: IO[str], prefix: str, log: Any) -> None:
    for line in stream:
        with contextlib.suppress(OSError):  # a full disk does not end a run
            log.write(line)
        if line.startswith(ERROR):
            node.error = line[len(ERROR) :].decode(errors="replace").strip()
            continue  # it is said at the end
        with contextlib.suppress(OSError, ValueError):
            to.write(prefix + line.decode(errors="replace"))
            to.flush()


@contextlib.contextmanager
def _heard(signals: list[int]) -> Iterator[None]:
    """Note interrupts in place of ending by them."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda number, frame: signals.append(number)) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before):
            signal.signal(kind, handler)


def _wait(nodes: Sequence[Node], signals: Sequence[int]) -> Optional[Node]:
    """Until all workers are done, or one process has failed: that one."""
    told = 0
    workers = [node for node in nodes if node.kind == "worker"]
    while True:
        bad = [node for node in nodes if node.process.poll() not in (None, 0)]
        if bad:
            return min(bad, key=lambda node: (node.process.returncode > 0, node.kind != "worker"))
        if all(node.process.poll() == 0 for node in workers):
            return None
        while told < len(signals):
            told += 1
            for node in workers:
                node.tell(INTERRUPT) if told == 1 else node.tell(STOP, "interrupted twice")
        time.sleep(0.05)


def _end(nodes: Sequence[Node]) -> None:
    """End whatever still runs: first by a word, then by force."""
    begun = [node for node in nodes if node.process is not None]
    ended = [node for node in begun if node.process.poll() not in (None, 0)]
    bad = min(ended, key=lambda node: node.process.returncode > 0, default=None)
    end = time.monotonic() + (GRACE if bad is not None else 3 * GRACE)
    for node in begun:
        if bad is not None:
            node.tell(STOP, f"{bad.where} {_how(bad.process.returncode)}")
            with contextlib.suppress(OSError):
                node.process.stdin.close()
    while time.monotonic() < end and any(node.process.poll() is None for node in begun):
        time.sleep(0.05)
    for node in begun:
        if node.process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(node.process.pid, signal.SIGKILL)
            node.process.wait()
    for node in begun:
        for thread in node.threads:
            thread.join(timeout=2)


def _how(code: int) -> str:
    if code < 0:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"failed with exit code {code}"


def _failure(plan: Plan, node: Node, code: int, logs: Path) -> RunError:
    log = logs / f"{node.name.replace(' ', '-')}.log"
    begun = (plan.folder / "result.json").exists()
    again = f" or go on with: dope launch -n {plan.workers} -s {plan.servers} resume {plan.folder}"
    if node.error:
        node.threads[-1].join(timeout=1)
        error = RunError(f"{node.where}: {node.error}")
    else:
        text = f"{node.where} {_how(code)}; all others were ended"
        error = RunError(text, f"See {log}{again if begun else ''}.")
    if code == 2:
        error.exit_code = 2
    return error
