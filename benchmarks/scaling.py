"""What several workers cost and bring: exchanges measured on links of known speed, and simulated.

Not part of the test suite. Run it alone, on a quiet machine; the links are network namespaces and
need root and Debian's iproute2::

    python benchmarks/scaling.py

Three tables: seconds of an exchange, measured and simulated; examples a second of one and of two
workers on this machine; and, by the simulation, what more workers on real networks would reach.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))
from simulate import Network, communication, efficiency, most_workers, traffic

HERE = Path(__file__).resolve().parent
NUMBERS = itertools.count()
SIZES = (10_000, 300_000, 2 * (1 << 20))  # parameters
LAYOUTS = ((2, 1), (2, 2), (4, 1), (4, 2))  # workers, servers
SPEEDS = (100, 400)  # Mbit/s of a link
TASKS = {  # what is timed on this machine, and with which options
    "vision.mlp": ["trainer.epochs=10", "trainer.batch_size=128"],
    "vision.cnn": ["trainer.epochs=4", "trainer.batch_size=128"],
}
# Of the book's models: parameters, and seconds of forward and backward pass of one worker's batch
# on two cores, out of the benchmarks beside this file; the last one is made up.
MODELS = {
    "MLP 784-256-256-10, batch 256": (269_322, 2.4e-3),
    "LeNet, batch 64": (1_256_080, 8.9e-3),
    "word LSTM, 10,000 words, 32 x 35": (4_653_200, 88e-3),
    "100 million parameters": (100_000_000, 1.0),
}
NETWORKS = {"1 Gbit/s": 125e6, "10 Gbit/s": 1.25e9, "100 Gbit/s": 12.5e9}
HANDLING = 0.6e-9  # seconds a byte of adding up and copying, measured over loopback


def ip(*words: str, check: bool = True) -> None:
    """Call iproute2."""
    subprocess.run(["ip", *words], check=check, capture_output=True)


@contextlib.contextmanager
def machines(count: int, speed: int) -> Iterator[list[str]]:
    """Network namespaces on a bridge, each with a link of ``speed`` Mbit/s both ways."""
    own = next(NUMBERS)  # the kernel takes its time to forget names
    names = [f"sc{own}m{i}" for i in range(count)]
    try:
        ip("link", "add", f"scbr{own}", "type", "bridge")
        ip("link", "set", f"scbr{own}", "up")
        for i, name in enumerate(names, 1):
            ip("netns", "add", name)
            ip("link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"v{name}", "master", f"scbr{own}", "up")
            ip("-n", name, "addr", "add", f"10.97.0.{i}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
            limit = ["root", "tbf", "rate", f"{speed}mbit", "burst", "64kb", "latency", "200ms"]
            inside = ["ip", "netns", "exec", name]
            for where, device in (([], f"v{name}"), (inside, "eth0")):
                qdisc = [*where, "tc", "qdisc", "add", "dev", device, *limit]
                subprocess.run(qdisc, check=True, capture_output=True)
        yield names
    finally:
        for name in names:
            ip("netns", "del", name, check=False)
        ip("link", "del", f"scbr{own}", check=False)


def exchanges(workers: int, servers: int, speed: int, times: int) -> dict[int, float]:
    """Seconds of an exchange by number of parameters, measured on links of ``speed`` Mbit/s."""
    common = {
        **os.environ,
        "DMLC_NUM_WORKER": str(workers),
        "DMLC_NUM_SERVER": str(servers),
        "DMLC_PS_ROOT_URI": "10.97.0.1",
        "DMLC_PS_ROOT_PORT": "9091",
        "OMP_NUM_THREADS": "1",
    }
    words = [sys.executable, str(HERE / "scaling" / "node.py"), str(times), *map(str, SIZES)]
    with machines(workers + servers, speed) as names:
        roles = ["worker"] * workers + ["server"] * servers
        places = [("scheduler", names[0], 1)]
        places += [(role, name, i) for i, (role, name) in enumerate(zip(roles, names), 1)]
        started = [
            subprocess.Popen(
                ["ip", "netns", "exec", name, *words],
                env={**common, "DMLC_ROLE": role, "DMLC_NODE_HOST": f"10.97.0.{i}"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
            for role, name, i in places
        ]
        said = [process.communicate(timeout=600)[0] for process in started]
    found = next(json.loads(text) for text in said if text.strip())
    return {int(size): seconds for size, seconds in found.items()}


def speed_here(task: str, words: list[str], workers: int) -> float:
    """Examples a second of training with so many workers on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        alone = [sys.executable, "-c", "from dope.cli import main; main()"]
        start = [*alone, "launch", "-n", str(workers), "run"] if workers > 1 else [*alone, "run"]
        options = [*words, "--json", "--quiet", "--runs", folder]
        done = subprocess.run(
            [*start, task, *options], capture_output=True, text=True, check=True, timeout=600
        )
        run = Path(json.loads(done.stdout)["run"])
        rows = [json.loads(row) for row in (run / "timings.jsonl").read_text().splitlines()]
    kept = rows[1:] or rows  # the first epoch compiles
    phases = ("data", "forward_backward", "update")
    seconds = sum(sum(row["phases"][phase] for phase in phases) for row in kept)
    batch = int(next(word for word in words if "batch_size" in word).rpartition("=")[2])
    return sum(row["steps"] for row in kept) * batch * workers / seconds


def table(head: list[str], rows: list[list[str]]) -> str:
    """Rows as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main() -> None:
    """Measure, simulate, print and write scaling.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="Exchanges of each size.")
    parser.add_argument("--small", action="store_true", help="One layout, nothing written.")
    given = parser.parse_args()
    if os.geteuid() or not shutil.which("ip"):
        sys.exit("links of known speed need root and Debian's iproute2")
    found = []
    for speed in SPEEDS[-1:] if given.small else SPEEDS:
        network = Network(speed * 1e6 / 8, handling=HANDLING)
        for workers, servers in LAYOUTS[:1] if given.small else LAYOUTS:
            for size, seconds in exchanges(workers, servers, speed, given.times).items():
                guess = communication(size, workers, servers, network)
                found.append([speed, workers, servers, size, seconds, guess])
    head = ["Mbit/s", "workers", "servers", "parameters", "measured ms", "simulated ms", "ratio"]
    rows = [
        [
            *map(str, (speed, workers, servers)),
            *(f"{size:,}", f"{1e3 * seconds:.1f}", f"{1e3 * guess:.1f}", f"{seconds / guess:.2f}"),
        ]
        for speed, workers, servers, size, seconds, guess in found
    ]
    print(table(head, rows))
    if given.small:
        return
    here = {task: [speed_here(task, words, k) for k in (1, 2)] for task, words in TASKS.items()}
    rows = [[t, f"{a:,.0f}", f"{b:,.0f}", f"{b / a:.2f}"] for t, (a, b) in here.items()]
    print(table(["task", "one process", "two workers", "ratio"], rows))
    rows = []
    for name, (parameters, compute) in MODELS.items():
        worker, server = traffic(parameters, 64, 64)
        row = [name, f"{worker / 1e6:,.1f}", f"{server / 1e6:,.1f}"]
        for bandwidth in NETWORKS.values():
            network = Network(bandwidth, handling=HANDLING)
            shares = [efficiency(compute, parameters, k, k, network) for k in (2, 8, 64)]
            row.append(" ".join(f"{share:.0%}" for share in shares))
            row[-1] += f" ({most_workers(compute, parameters, network)})"
        rows.append(row)
    print(table(["model", "MB a worker", "MB a server", *NETWORKS], rows))
    kept = {"exchanges": found, "here": here, "models": MODELS, "handling": HANDLING}
    (HERE / "scaling.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
