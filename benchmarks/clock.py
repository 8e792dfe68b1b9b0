"""What a loop that is measured says and hears: its options, how fast it steps, its answer.

For every interpreter: imports neither MXNet nor PyTorch nor dope.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable


def arguments(cases: Mapping[str, Any]) -> argparse.Namespace:
    """What the program says: ``case`` (the value, not its name), ``tool``, ``data``, ``seconds``
    and ``threads``.

    Parameters
    ----------
    cases
        By name.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=cases, required=True)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    given = parser.parse_args()
    given.case = cases[given.case]
    return given


def rate(
    steps: Iterator[int], seconds: float, finish: Callable[[], Any] = lambda: None
) -> dict[str, float]:
    """What is done a second, over about ``seconds`` after a third of that to warm up.

    Parameters
    ----------
    steps
        Does one step at each ``next`` and gives what it counts for; endless.
    seconds
        How long to measure.
    finish
        Waits until all steps are computed.

    Returns
    -------
    dict
        ``rate``, ``done`` and ``seconds``, as `answer` takes them.
    """
    for limit in (seconds / 3, seconds):
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < limit:
            done += next(steps)
        finish()
        took = time.perf_counter() - began
    return {"rate": done / took, "done": done, "seconds": took}


def answer(*, parameters: int, loss: float, **found: float) -> None:
    """Print what the program reads: one line of JSON.

    Parameters
    ----------
    parameters
        Learned numbers of the model.
    loss
        The last one, a mean over examples.
    found
        What `rate` gave.
    """
    print(json.dumps({"parameters": parameters, "loss": loss, **found}), flush=True)
