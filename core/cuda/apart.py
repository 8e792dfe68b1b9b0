"""A process of its own for what may hang or crash, and what it said until then.

Holds no question; those are in asking.py and doctor.py.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Sequence
from typing import Any, Optional


def told(command: Sequence[str], seconds: float) -> dict[str, Any]:
    """What a program writes as JSON objects, a line each, put together; later ones win.

    Parameters
    ----------
    command
        The program and its arguments.
    seconds
        How long it may take. Then it is killed, and not waited for: a process that hangs in a
        driver may not even die.

    Returns
    -------
    dict
        Also ``code``: the exit code, negative for a signal, None where time ran out; and
        ``errors``: the last line on standard error, as a list of none or one.
    """
    output, errors = b"", b""
    code: Optional[int] = None
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        return {"code": 1, "errors": [str(error)]}
    try:
        output, errors = process.communicate(timeout=seconds)
        code = process.returncode
    except subprocess.TimeoutExpired as late:
        output = late.output or b""
    finally:
        if code is None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
    said: dict[str, Any] = {
        "code": code,
        "errors": errors.decode(errors="replace").strip().splitlines()[-1:],
    }
    for line in output.decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                said.update(found)
    return said


def ending(said: dict[str, Any], seconds: float) -> str:
    """How a program ended that did not come to its end, in words."""
    if said["code"] is None:
        return f"no answer within {seconds:g} s"
    if said["code"] < 0:
        return f"died of signal {-said['code']}"
    return " ".join(["ended too early", *said["errors"]])
