"""The pytest plugin that comes with dope: what the contract suite came to, at the end of a run.

Imports nothing of dope before a test asks for it: pytest loads it at every start, everywhere, and
what is imported then can neither be measured by coverage nor be fast.
"""

from __future__ import annotations

from typing import Any

PROPERTY = "dope.contract"  # of a test's report: the outcome of one check, as plain data


def pytest_configure(config: Any) -> None:
    """Hold back a warning that MXNet gives at each array, and that nobody can act on."""
    ignored = "ignore:Please import `csr_matrix`:DeprecationWarning"
    config.addinivalue_line("filterwarnings", ignored)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Counts for each plugin and task, and the reason of whatever did not run."""
    found = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY
    ]
    if not found:
        return
    from dope.core.testing.outcome import WITH_REASON, Outcome, counted

    outcomes = [Outcome(**value) for value in found]
    subjects = list(dict.fromkeys(outcome.subject for outcome in outcomes))
    terminalreporter.section("dope contract suite")
    for subject in sorted(subjects):
        own = [outcome for outcome in outcomes if outcome.subject == subject]
        terminalreporter.line(f"{subject}: {counted(own)}")
        for outcome in own:
            if outcome.state in WITH_REASON:
                terminalreporter.line(f"  {outcome.check} {outcome.state}: {outcome.text}")
    terminalreporter.line(f"{len(outcomes)} checks: {counted(outcomes)}")
