"""The time of a step of synchronous data parallelism, simulated: bytes on links, and stragglers.

Holds arithmetic only: no processes and no MXNet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BYTES = 4  # of a gradient's entry on the wire
BUCKET = 1 << 20  # entries that dope sends together (core/distributing/team.py)
BIG = 1 << 15  # entries from which on an array is divided among all servers


@dataclass(frozen=True)
class Network:
    """Machines with a link each into one switch.

    Parameters
    ----------
    bandwidth
        Of each link in each direction, bytes a second.
    exchange
        Seconds that an exchange takes whatever its size.
    handling
        Seconds a byte that a server takes to add one up and a worker to copy it, beside the wire.
    """

    bandwidth: float
    exchange: float = 0.3e-3
    handling: float = 0.0


def buckets(parameters: int) -> list[int]:
    """Entries of each exchange of a step."""
    whole, rest = divmod(parameters, BUCKET)
    return [BUCKET] * whole + ([rest] if rest else [])


def traffic(parameters: int, workers: int, servers: int) -> tuple[float, float]:
    """Bytes that a step brings through each direction of a worker's link, and of a server's.

    Of servers it is the busiest: a small exchange goes to one of them.
    """
    size = BYTES * parameters
    busiest = sum(
        BYTES * entries * workers / (servers if entries >= BIG else 1)
        for entries in buckets(parameters)
    )
    return float(size), float(busiest)


def communication(parameters: int, workers: int, servers: int, network: Network) -> float:
    """Seconds that the exchanges of one step take.

    One follows the other, and in each all gradients are pushed before the sum can be pulled: with
    b bytes, k workers and s servers that share them, the slower of a worker's link (b) and a
    server's (k b / s) counts, twice.
    """
    seconds = 0.0
    for entries in buckets(parameters):
        size = BYTES * entries
        through = workers / (servers if entries >= BIG else 1)
        wire = size * max(1.0, through) / network.bandwidth
        seconds += network.exchange + 2 * wire + network.handling * size * through
    return seconds


def step(
    compute: float,
    parameters: int,
    workers: int,
    servers: int,
    network: Network,
    *,
    spread: float = 0.05,
    draws: int = 2000,
    seed: int = 0,
) -> float:
    """Mean seconds of a step: the slowest worker's forward and backward pass, then the exchange.

    Parameters
    ----------
    compute
        Mean seconds of one worker's own part.
    parameters
        Of the model, 4 bytes each.
    workers, servers
        How many; a worker alone sends nothing.
    network
        What is between them.
    spread
        Standard deviation of the logarithm of a worker's time.
    draws, seed
        Of the simulation.
    """
    rng = np.random.default_rng(seed)
    times = compute * np.exp(spread * rng.standard_normal((draws, workers)) - spread**2 / 2)
    slowest = float(times.max(axis=1).mean())
    sent = communication(parameters, workers, servers, network) if workers > 1 else 0.0
    return slowest + sent


def efficiency(
    compute: float, parameters: int, workers: int, servers: int, network: Network
) -> float:
    """Examples a second of all workers over those of as many workers that need not wait."""
    return compute / step(compute, parameters, workers, servers, network)


def most_workers(compute: float, parameters: int, network: Network, most: int = 64) -> int:
    """The largest number of workers, with as many servers, that are busy half of the time."""
    good = [k for k in range(1, most + 1) if efficiency(compute, parameters, k, k, network) >= 0.5]
    return max(good, default=1)
