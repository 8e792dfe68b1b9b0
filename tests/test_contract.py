"""The contract suite over every plugin that is installed: one test a plugin or task, and check.

Holds no checks; they are in dope.core.testing, and that each can fail is tested beside it.
"""

from __future__ import annotations

from dope.core.testing import contract_tests

# Raise the floors with every task: none may drop out unseen.
test_contract = contract_tests("all", least_tasks=26, least_passed=521)
