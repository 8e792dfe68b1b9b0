"""A run in words: one line for a console, a few small tables in HTML for a notebook.

Holds the layout only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from dope.core.terminal.present import number


def line(task: str, result: Mapping[str, Any], path: Path) -> str:
    """``<Run timeseries.issm: done, valid_loss 1.2, 3 more; runs/timeseries.issm/…>``."""
    flat = [(k, v) for k, v in result.get("metrics", {}).items() if isinstance(v, (int, float))]
    said = [str(result.get("status", "not trained")), *(f"{k} {number(v)}" for k, v in flat[:4])]
    if len(flat) > 4:
        said.append(f"{len(flat) - 4} more")
    return f"<Run {task}: {', '.join(said)}; {path}>"


def page(
    task: str,
    parts: Mapping[str, str],
    result: Mapping[str, Any],
    path: Path,
    files: Sequence[Path],
) -> str:
    """The same with all figures, the parts and the files that the task wrote, as HTML."""
    heads = f"<b>{escape(task)}</b>: {escape(str(result.get('status', 'not trained')))}"
    facts = [f"{result[key]} {key}" for key in ("epochs", "steps") if key in result]
    if "seconds" in result:
        facts.append(f"{result['seconds']:.1f} s")
    if result.get("stopped"):
        facts.append(str(result["stopped"]))
    used = "".join(f"<li>{escape(section)}: {escape(name)}</li>" for section, name in parts.items())
    wrote = "".join(f"<li><code>{escape(str(each))}</code></li>" for each in files)
    return (
        f"<div>{heads} <small>{escape(', '.join(facts))}</small>"
        f"{_tables(result.get('metrics', {}))}"
        f"<details><summary>parts</summary><ul>{used}</ul></details>"
        + (f"<details><summary>files</summary><ul>{wrote}</ul></details>" if wrote else "")
        + f"<code>{escape(str(path))}</code></div>"
    )


def _tables(metrics: Mapping[str, Any]) -> str:
    """Figures as a table; a mapping of mappings as one with a row for each."""
    flat = {key: value for key, value in metrics.items() if not isinstance(value, Mapping)}
    made = _table([], [[key, number(value)] for key, value in flat.items()])
    for key, rows in metrics.items():
        if not isinstance(rows, Mapping) or not rows:
            continue
        if all(isinstance(row, Mapping) for row in rows.values()):
            heads = list(dict.fromkeys(inner for row in rows.values() for inner in row))
            cells = [[name, *(number(row.get(h)) for h in heads)] for name, row in rows.items()]
            made += _table([key, *heads], cells)
        else:
            made += _table([key, ""], [[name, number(value)] for name, value in rows.items()])
    return made


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"
