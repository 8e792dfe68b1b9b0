"""How many cores there are.

Holds what is known without MXNet; what is done with them is decided in backend.py and sweeping.
"""

from __future__ import annotations

import os

SHARE = "DOPE_WORKERS_HERE"  # how many processes divide the cores among them


def physical_cores() -> int:
    """Number of physical cores this process may use (hyper-threads count once).

    Workers of one run on one machine have a part each: ``DOPE_WORKERS_HERE`` is their number.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    cores = set()
    for cpu in sorted(allowed) if allowed else range(os.cpu_count() or 1):
        siblings = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            with open(siblings) as handle:  # noqa: PTH123
                cores.add(handle.read().strip())
        except OSError:
            cores.add(str(cpu))
    share = os.environ.get(SHARE, "")
    return max(1, len(cores) // (int(share) if share.isdecimal() and int(share) else 1))
