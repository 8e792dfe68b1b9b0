"""The contract suite: what every registered task must hold to, built in or anybody's.

Holds its public names, loaded when they are first used: pytest imports this package at its start.

A plugin's whole test file::

    from dope.core.testing import contract_tests

    test_contract = contract_tests("churn")

The suite makes a task small with its profile ``tiny``, where it has one, else with ``quick``, and
trains two epochs. Give ``tiny`` batches of several examples, and several of them an epoch: nothing
can be cut from one example, and a run of one step cannot be stopped. Two further class attributes
(literals) speak to the suite::

    class MyTask(Task):
        profiles = {"quick": {}, "book": {}, "tiny": {"dataset": {"name": "my.set", "n": 40}}}
        contract = {"contexts": {"model": {"dropout": 0.0}}}
        exempt = {"other_seed": "starts at fixed values and draws nothing"}

``contract``
    Name of a check to sections of configuration for that check alone, on top of the profile: so
    parity is tested of the model without dropout, and the other checks with it.
``exempt``
    Name of a check to the reason why the promise cannot hold. It is shown with its reason and
    never counts as run; a task of which fewer than ``FLOOR`` checks run does not pass.

On the command line: ``dope plugin check churn``. From Python: ``check_plugin(discover(), "churn")``
for a plugin, ``run_checks(discover(), "churn.task")`` for one task.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "CHECKS": "dope.core.testing.checks",
    "FLOOR": "dope.core.testing.suite",
    "PLUGIN_CHECKS": "dope.core.testing.parts",
    "Outcome": "dope.core.testing.outcome",
    "Suite": "dope.core.testing.suite",
    "check_plugin": "dope.core.testing.plugin",
    "contract_tests": "dope.core.testing.contract",
    "run_checks": "dope.core.testing.suite",
    "shortfall": "dope.core.testing.suite",
    "verdict": "dope.core.testing.plugin",
}
__all__ = [
    "CHECKS",
    "FLOOR",
    "PLUGIN_CHECKS",
    "Outcome",
    "Suite",
    "check_plugin",
    "contract_tests",
    "run_checks",
    "shortfall",
    "verdict",
]

if TYPE_CHECKING:
    from dope.core.testing.checks import CHECKS
    from dope.core.testing.contract import contract_tests
    from dope.core.testing.outcome import Outcome
    from dope.core.testing.parts import PLUGIN_CHECKS
    from dope.core.testing.plugin import check_plugin, verdict
    from dope.core.testing.suite import FLOOR, Suite, run_checks, shortfall


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'dope.core.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(_WHERE[name]), name)
