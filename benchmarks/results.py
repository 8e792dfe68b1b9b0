"""What becomes of answers: rows of medians and ratios, a table, a JSON file and a part of a page.

Measures nothing.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from turns import HERE, Answers, say

PAGE = HERE.parent / "docs" / "performance.md"


def rows_of(answers: Answers, ratios: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """One row a case: median of each tool, all rounds, and ratios of medians.

    Parameters
    ----------
    answers
        As of `turns.in_turn`.
    ratios
        Pairs of tools.
    """
    rows = []
    for case, tools in answers.items():
        row: dict[str, Any] = {"case": case, "median": {}, "rounds": {}, "failed": {}, "ratio": {}}
        for tool, found in tools.items():
            if any(isinstance(each, str) for each in found):
                row["failed"][tool] = found[-1]
                continue
            rates = [round(each["rate"], 1) for each in found]
            row["rounds"][tool], row["median"][tool] = rates, statistics.median(rates)
        medians = row["median"]
        for ours, theirs in ratios:
            if ours in medians and theirs in medians:
                row["ratio"][f"{ours}/{theirs}"] = round(medians[ours] / medians[theirs], 3)
        rows.append(row)
    return rows


def page_of(
    rows: Sequence[Mapping[str, Any]], tools: Sequence[str], ratios: Sequence[tuple[str, str]]
) -> str:
    """What `rows_of` gave, as a table in Markdown."""
    names = {tool: tool.replace("_", " ") for tool in tools}
    cells = []
    for row in rows:
        medians = [row["median"].get(tool) for tool in tools]
        found = [row["ratio"].get(f"{a}/{b}") for a, b in ratios]
        cells.append(
            [
                row["case"],
                *("" if m is None else f"{m:,.0f}" for m in medians),
                *("" if r is None else f"{r:.2f}" for r in found),
            ]
        )
    return table(["case", *names.values(), *(f"{names[a]} / {names[b]}" for a, b in ratios)], cells)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def write(name: str, made: Mapping[str, Any], page: str) -> None:
    """Write ``NAME.json``, and the table between the marks of that name in the page."""
    (HERE / f"{name}.json").write_text(json.dumps(made, indent=1) + "\n")
    begin, end = f"<!-- {name} begin -->", f"<!-- {name} end -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if found:
        PAGE.write_text(f"{before}{begin}\n{page}\n{end}{after}", encoding="utf-8")
    else:
        say(f"{PAGE} has no {begin}: the table was not written there")


def machine() -> dict[str, Any]:
    """Where this is measured."""
    name = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = round(os.getloadavg()[0], 2)
    if load > 0.5:
        say(f"the load of the last minute is {load}: while others run, threads that wait for")
        say("each other suffer most, and not alike in all tools; take no ratio from such a run")
    return {"processor": name, "logical_cpus": os.cpu_count(), "load_before": load}
