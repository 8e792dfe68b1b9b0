"""How a page is put together: templates, the plotting library inside it, and what may run in it.

Holds nothing of runs; Jinja2 and Plotly are imported when a page is made, not before.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dope.core.errors import DopeError
from dope.core.rundir import replacing

HERE = Path(__file__).parent / "templates"
_SELF, _NONE = "'self'", "'none'"  # of a content security policy
LONG = 400  # signs of one value that are shown


def render(template: str, script: str, *, connect: bool = False, **context: Any) -> str:
    """A whole page: nothing in it is fetched, and only its own two scripts may run.

    Parameters
    ----------
    template
        The template's name.
    script
        The name of its script, which follows what all pages share.
    connect
        Whether it may ask its own server for news.
    context
        What the template shows; ``data`` goes into the page as JSON.

    Raises
    ------
    DopeError
        Jinja2 or Plotly is not installed.
    """
    library, library_hash = _library()
    scripts = "\n" + _source("common.js") + _source(script)
    allowed = " ".join(f"'sha256-{each}'" for each in (_hash(scripts), library_hash))
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        f"img-src data: blob:; connect-src {_SELF if connect else _NONE}; "
        "base-uri 'none'; form-action 'none'"
    )
    from markupsafe import Markup

    from dope import __version__

    made: str = (
        _environment()
        .get_template(template)
        .render(
            policy=Markup(policy),
            style=Markup(_source("look.css")),
            script=Markup(scripts),
            plotly=Markup(library),
            version=__version__,
            **context,
        )
    )
    return made


def write(path: Path, text: str) -> Path:
    """Write a page, whole or not at all; signs that no file can hold become marks.

    Raises
    ------
    RunError
        The folder cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return path


def shown(value: Any) -> str:
    """A value as people read it: five digits, lists and mappings short, texts cut."""
    text = _plain(value)
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        if value == int(value) and abs(value) < 1e6:
            return f"{int(value):,}".replace(",", "\u202f")
        return f"{value:.5g}".replace("-", "\u2212")
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_plain(each) for each in value)}]"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(each)}" for key, each in value.items())
    return clean(str(value))


def clean(text: str) -> str:
    """Text without the control signs that a page cannot show, line ends and tabs apart."""
    return "".join(c if c in "\n\t" or (c >= " " and c != "\x7f") else "\ufffd" for c in text)


def _source(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8").replace("\r", "")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@functools.lru_cache(maxsize=1)
def _library() -> tuple[str, str]:
    """plotly.js, compressed, as text; and the hash of what comes out."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise missing("plotly") from error
    text: str = get_plotlyjs()
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode(), _hash(text)


@functools.lru_cache(maxsize=1)
def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise missing("Jinja2") from error
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["shown"] = shown
    # Surrogates, which a damaged text may hold, cannot be written; JSON's escapes can.
    made.policies["json.dumps_function"] = json.dumps
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return made


def missing(what: str, extra: str = "report") -> DopeError:
    """The error for a library that an extra brings."""
    return DopeError(f"{what} is not installed", f"It comes by: pip install 'dope[{extra}]'")
