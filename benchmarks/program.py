"""A program that measures: what it compares, its options, and a run from them to the page.

Holds neither models nor loops; those are in the folder that is named as the program.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import results
import turns


@dataclass(frozen=True)
class Program:
    """What is compared; `main` does it.

    Parameters
    ----------
    name
        Of the program, the folder of its loops, its JSON file and its marks in the page.
    about
        Its docstring.
    cases
        What is measured, by name.
    tools
        The loop of each tool, in the order of the table; ``{case.model}`` and the like are filled
        in. Names that begin with ``torch`` need PyTorch.
    ratios
        Pairs of tools; the table says how many times as fast the first is.
    unit
        What is counted.
    write
        ``write(folder, case, given)`` puts the data of a case into its folder: fewer where
        ``given.small``.
    parameters
        ``parameters(case, tool, folder)`` are the learned numbers that a tool must have; by default
        ``case.parameters``.
    lacks
        ``lacks(case, tool)``: whether a tool has no way to do a case; by default none.
    seconds
        Of each measurement, if the options do not say.
    data
        Help of ``--data``, where real data can take the place of those made up.
    """

    name: str
    about: str
    cases: Mapping[str, Any]
    tools: Mapping[str, str]
    ratios: Sequence[tuple[str, str]]
    unit: str
    write: Callable[[Path, Any, argparse.Namespace], Any]
    parameters: Callable[[Any, str, Path], int] = lambda case, tool, folder: case.parameters
    lacks: Callable[[Any, str], bool] = lambda case, tool: False
    seconds: float = 3.0
    data: str = ""

    def arguments(self, words: Optional[Sequence[str]] = None) -> argparse.Namespace:
        """The options."""
        parser = argparse.ArgumentParser(description=self.about.splitlines()[0])
        add, seconds, none = parser.add_argument, self.seconds, argparse.SUPPRESS
        add("--torch", metavar="PYTHON", help="python that has PyTorch (else DOPE_TORCH_PYTHON)")
        add("--data", type=Path, metavar="DIR", help=self.data or none)
        add("--rounds", type=int, default=5, help="times that each tool is measured (5)")
        add("--seconds", type=float, default=seconds, help=f"of each measurement ({seconds})")
        for option, known in (("tools", self.tools), ("only", self.cases)):
            every = list(known)
            add(f"--{option}", nargs="+", choices=every, default=every, help=", ".join(every))
        add("--no-write", action="store_true", help="print only")
        add("--small", action="store_true", help="little data, one thread: to see that all runs")
        given = parser.parse_args(words)
        if given.rounds < 1 or given.seconds <= 0:
            parser.error("--rounds is at least 1 and --seconds above 0")
        if given.data and not self.data:
            parser.error("this program takes no --data")
        return given

    def answers(
        self, given: argparse.Namespace, pythons: Mapping[str, str], threads: int, folder: Path
    ) -> turns.Answers:
        """Answers by case and tool; the data of each case are written below ``folder``."""
        for name in given.only:
            (folder / name).mkdir()
            self.write(folder / name, self.cases[name], given)

        def measure(name: str, tool: str) -> dict[str, Any]:
            case, data = self.cases[name], folder / name
            loop = turns.HERE / self.name / self.tools[tool].format(case=case)
            told = {"case": name, "tool": tool, "data": data, "seconds": given.seconds}
            told["threads"] = 1 if given.small else threads
            size = self.parameters(case, tool, data)
            return turns.measured(pythons[tool], loop, told, folder, size, given.small)

        plan = {
            name: [tool for tool in pythons if not self.lacks(self.cases[name], tool)]
            for name in given.only
        }
        return turns.in_turn(
            plan, given.rounds, measure, lambda found: f"{found['rate']:>10,.1f} {self.unit}/s"
        )

    def rows(self, answers: turns.Answers) -> list[dict[str, Any]]:
        """One row a case: median rate of each tool, all rounds, and ratios."""
        return results.rows_of(answers, self.ratios)

    def page(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """The table as Markdown."""
        return results.page_of(rows, list(self.tools), self.ratios)

    def main(self) -> int:
        """Measure, print, and write what a whole run found; the exit code."""
        given = self.arguments()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            made: dict[str, Any] = {"machine": results.machine()}
            pythons, about = turns.interpreters(given.tools, given.torch)
            made |= {**about, "rounds": given.rounds, "seconds": given.seconds}
            if self.data:
                made["data"] = str(given.data.name if given.data else "made up")
            with tempfile.TemporaryDirectory() as folder:
                answers = self.answers(given, pythons, about["threads"], Path(folder))
        except KeyboardInterrupt:
            turns.say("interrupted: nothing was written")
            return 130
        made["rows"] = self.rows(answers)
        page = self.page(made["rows"])
        print(page)
        whole = set(given.only) == set(self.cases) and set(given.tools) == set(self.tools)
        if given.no_write:
            return 0
        if given.small or not whole:
            turns.say("not written: the page takes a whole run (no --only, no --tools, no --small)")
            return 0
        results.write(self.name, made, page)
        return 0
