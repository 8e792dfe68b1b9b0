"""One process of a measurement: a server, the scheduler, or a worker that times sums of gradients.

Holds no machines; those are made and connected in ../scaling.py.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from dope.core.backend import nd
from dope.core.distributing.roles import role
from dope.core.distributing.serving import serve
from dope.core.distributing.team import Team


def main() -> None:
    """Serve, or print the seconds of one exchange for each number of parameters."""
    part = role()
    assert part is not None
    if part.kind != "worker":
        serve(part)
        return
    team, found = Team(part), {}
    for size in map(int, sys.argv[2:]):
        gradient, times = [nd.ones((size,))], []
        for _ in range(int(sys.argv[1]) + 1):
            team.any(False)  # all start together
            began = time.perf_counter()
            team.reduce(gradient, f"of {size}")
            times.append(time.perf_counter() - began)
        found[size] = statistics.median(times[1:])
    if team.leads:
        print(json.dumps(found))
    team.leave()


if __name__ == "__main__":
    main()
