"""Plain text for people: aligned tables, figures, a configuration with its origins.

Holds the layout only; what is shown comes from the caller, and nothing here imports rich.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

GAP = "  "


def terminal_width() -> int:
    """Columns of the terminal, 100 where there is none."""
    return max(40, shutil.get_terminal_size((100, 24)).columns)


def table(
    rows: Iterable[Sequence[str]], *, head: Sequence[str] = (), width: int = 0, widest: int = 30
) -> str:
    """Rows as aligned columns; what does not fit is wrapped inside its column.

    Parameters
    ----------
    rows
        Cells, the same number in each row.
    head
        Column titles, underlined; none by default.
    width
        Columns of the terminal; 0 asks it.
    widest
        Most columns that any but the last cell gets.
    """
    cells = [[str(cell) for cell in row] for row in ([head] if head else [])] + [
        [str(cell) for cell in row] for row in rows
    ]
    if not cells:
        return ""
    sizes = [min(widest, max(map(len, column))) for column in list(zip(*cells))[:-1]]
    rest = (width or terminal_width()) - sum(sizes) - len(GAP) * len(sizes)
    sizes.append(max(20, rest))
    lines = []
    for number, row in enumerate(cells):
        wrapped = [textwrap.wrap(cell, size) or [""] for cell, size in zip(row, sizes)]
        for i in range(max(map(len, wrapped))):
            parts = [(part[i] if i < len(part) else "") for part in wrapped]
            lines.append(GAP.join(p.ljust(s) for p, s in zip(parts, sizes)).rstrip())
        if head and number == 0:
            used = [min(size, max(map(len, column))) for size, column in zip(sizes, zip(*cells))]
            lines.append(GAP.join("-" * size for size in used))
    return "\n".join(lines)


def number(value: Any) -> str:
    """A figure with five digits, an integer whole, None as a dash."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.5g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def figures(metrics: Mapping[str, Any]) -> str:
    """Metrics as text: names and figures, then what is compared as a table of its own.

    A mapping of mappings (the same figures of simpler methods, say) becomes one row each, below
    a row of the run's own figures of those names.
    """
    groups = {k: v for k, v in metrics.items() if _mapping(v) and all(map(_mapping, v.values()))}
    flat: dict[str, Any] = {}
    for key, value in metrics.items():
        if _mapping(value) and key not in groups:
            flat.update({f"{key}.{inner}": item for inner, item in value.items()})
        elif key not in groups:
            flat[key] = value
    blocks = []
    for rows in groups.values():
        keys = list(dict.fromkeys(key for row in rows.values() for key in row))
        own = {key: flat.pop(key) for key in keys if key in flat}
        named = {**({"this run": own} if own else {}), **rows}
        cells = [[name, *(number(row.get(key)) for key in keys)] for name, row in named.items()]
        blocks.append(table(cells, head=["", *keys]))
    first = table((key, number(value)) for key, value in flat.items())
    return "\n\n".join(filter(None, [first, *blocks]))


def _mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def records(rows: Sequence[Mapping[str, Any]], *, most: int = 20) -> str:
    """Rows of the same keys as a table: the first ``most``, and how many more there are."""
    if not rows:
        return "(no rows)"
    head = list(rows[0])
    text = table(([number(row.get(key)) for key in head] for row in rows[:most]), head=head)
    more = len(rows) - most
    return f"{text}\n… and {more} more; --output FILE.csv writes them all" if more > 0 else text


def by_folder(files: Sequence[Path], *, most: int = 8) -> list[str]:
    """Paths as lines; of a folder with more than ``most`` of them the last, and how many more."""
    folders: dict[Path, list[Path]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file)
    lines = []
    for folder, inside in folders.items():
        if len(inside) > most:
            lines.append(f"{inside[-1]}  ({len(inside) - 1} more in {folder})")
        else:
            lines += map(str, inside)
    return lines


def with_origins(sections: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """Sections as YAML, each value followed by a comment that says where it came from."""
    lines: list[tuple[str, str]] = []
    for section, values in sections.items():
        if values is None:
            lines.append((f"{section}: null", "the task has none"))
            continue
        lines.append((f"{section}:", ""))
        for key, value in values.items():
            origin = origins.get(f"{section}.{key}", "")
            if not (value and (section, key) == ("trainer", "callbacks")):
                lines.append((f"  {key}: {json.dumps(value, ensure_ascii=False)}", origin))
                continue
            lines.append((f"  {key}:", origin))
            lines += [line for callback in value for line in _callback(callback, origins)]
    left = min(48, max((len(text) for text, origin in lines if origin), default=0))
    return "\n".join(
        f"{text.ljust(left)}  # {origin}" if origin else text for text, origin in lines
    )


def _callback(options: Mapping[str, Any], origins: Mapping[str, str]) -> list[tuple[str, str]]:
    """An item of the list trainer.callbacks: its name and, below, each option."""
    name = options["name"]
    return [(f"  - name: {name}", "")] + [
        (
            f"    {key}: {json.dumps(value, ensure_ascii=False)}",
            origins.get(f"trainer.callbacks.{name}.{key}", ""),
        )
        for key, value in options.items()
        if key != "name"
    ]


def write_csv(rows: Sequence[Mapping[str, Any]], handle: TextIO) -> None:
    """Rows as CSV with a line of names; what is missing stays empty."""
    import csv  # listing need not wait for it

    writer = csv.DictWriter(handle, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    handle.flush()
