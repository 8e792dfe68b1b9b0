"""The simulation of several workers: what its arithmetic must give in cases known by hand.

Holds no measurement; that is benchmarks/scaling.py.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "benchmarks" / "scaling" / "simulate.py"
SPEC = importlib.util.spec_from_file_location("scaling_simulate", PATH)
simulate = sys.modules["scaling_simulate"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(simulate)

WIRE = simulate.Network(1e9, exchange=0.0)  # bytes a second


def test_the_constants_are_those_of_the_engine():
    from dope.core.distributing import store, team

    assert (simulate.BUCKET, simulate.BIG) == (team.BUCKET, store.DIVIDED)


def test_a_server_carries_the_gradients_of_all_workers():
    big, small = 10 * simulate.BUCKET, simulate.BIG - 1
    assert simulate.traffic(big, 8, 1) == (4 * big, 32 * big)
    assert simulate.traffic(big, 8, 4) == (4 * big, 8 * big)  # divided among four
    assert simulate.traffic(small, 8, 4) == (4 * small, 32 * small)  # goes to one of them


@pytest.mark.parametrize("workers, servers, factor", [(2, 1, 2), (4, 2, 2), (4, 4, 1), (2, 8, 1)])
def test_the_busiest_link_is_what_an_exchange_waits_for(workers, servers, factor):
    entries = simulate.BUCKET
    seconds = simulate.communication(entries, workers, servers, WIRE)
    assert seconds == pytest.approx(2 * factor * 4 * entries / 1e9)


def test_one_worker_sends_nothing_and_more_wait_for_the_slowest():
    assert simulate.step(1.0, 10**8, 1, 1, WIRE) == pytest.approx(1.0, rel=0.01)
    free = simulate.Network(1e30, exchange=0.0)
    few, many = (simulate.step(1.0, 10**6, k, k, free) for k in (2, 64))
    assert 1.0 < few < many < 1.3  # with a spread of 5 %, 64 draws reach 2.4 of it
    assert many == pytest.approx(1 + 2.39 * 0.05, abs=0.02)


def test_more_bandwidth_lets_more_workers_be_busy():
    counts = [
        simulate.most_workers(0.5, 5_000_000, simulate.Network(b)) for b in (1e7, 1.25e9, 1e11)
    ]
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] == 64
