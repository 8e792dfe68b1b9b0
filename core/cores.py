"""How many cores there are.

Holds what is known without MXNet; what is done with them is decided in backend.py and sweeping.
"""

from __future__ import annotations

import os


def physical_cores() -> int:
    """Number of physical cores this process may use (hyper-threads count once)."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    cores = set()
    for cpu in sorted(allowed) if allowed else range(os.cpu_count() or 1):
        siblings = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            with open(siblings) as handle:  # noqa: PTH123
                cores.add(handle.read().strip())
        except OSError:
            cores.add(str(cpu))
    return max(1, len(cores))
