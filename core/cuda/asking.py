"""Questions to NVIDIA's driver and libraries, as a program of its own, for the answer may hang.

Run by its path, not imported; needs the standard library only. Each line that it writes is a JSON
object. ``asking.py`` asks the driver; ``asking.py FILE ...`` loads these libraries, in order.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from pathlib import Path
from typing import Any

CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


def say(**facts: Any) -> None:
    """One line of the answer; a fact that is said again replaces the older one."""
    print(json.dumps(facts), flush=True)


def ask_driver() -> None:
    """Say whether the driver loads, its versions, and each card that CUDA shows."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        say(missing=str(error))
        return
    say(loaded=True, release=_release())
    try:
        version = ctypes.c_int()
        if driver.cuDriverGetVersion(ctypes.byref(version)) == 0:
            say(cuda=[version.value // 1000, version.value % 1000 // 10])
        count = ctypes.c_int()
        for name, arguments in (("cuInit", (0,)), ("cuDeviceGetCount", (ctypes.byref(count),))):
            code = getattr(driver, name)(*arguments)
            if code:
                say(code_of_driver=code, refused=_refusal(driver, name, code))
                return
        cards: list[dict[str, Any]] = []
        for index in range(count.value):
            cards.append(_card(driver, index))
            say(cards=cards)
        say(done=True)
    except AttributeError as error:
        say(refused=str(error))


def _card(driver: Any, index: int) -> dict[str, Any]:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    code = driver.cuDeviceGet(ctypes.byref(device), index)
    if code:
        return {"name": "", "refused": _refusal(driver, "cuDeviceGet", code)}
    driver.cuDeviceGetName(name, 255, device)
    found: dict[str, Any] = {"name": name.value.decode(errors="replace"), "capability": []}
    for attribute in CAPABILITY:
        value = ctypes.c_int()
        code = driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        if code:
            return {**found, "refused": _refusal(driver, "cuDeviceGetAttribute", code)}
        found["capability"].append(value.value)
    return found


def _refusal(driver: Any, name: str, code: int) -> str:
    """``cuInit says 100 (no CUDA-capable device is detected)``."""
    text = ctypes.c_char_p()
    asked = getattr(driver, "cuGetErrorString", None)
    if asked is not None and asked(code, ctypes.byref(text)) == 0 and text.value:
        return f"{name} says {code} ({text.value.decode(errors='replace')})"
    return f"{name} says {code}"


def _release() -> str:
    """Of the driver's part in the kernel, such as 535.104.05; empty where it does not tell."""
    try:
        first = Path("/proc/driver/nvidia/version").read_text().partition("\n")[0]
    except OSError:
        return ""
    found = re.search(r"\s(\d+\.\d[\d.]*)\s", first)
    return found[1] if found else ""


def load(names: list[str]) -> None:
    """Load libraries, in order, and say where each was found, or why it does not load."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        say(loading=name)
        try:
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
            found[name] = {"place": _place(name), "error": ""}
        except OSError as error:
            found[name] = {"place": "", "error": str(error)}
        say(libraries=found)
    say(done=True)


def _place(name: str) -> str:
    """The file that a library was loaded from."""
    if "/" in name:
        return name
    maps = Path("/proc/self/maps").read_text().splitlines()
    files = {line.split(maxsplit=5)[-1] for line in maps if "/" in line}
    return next((file for file in sorted(files) if Path(file).name.startswith(name)), name)


if __name__ == "__main__":
    if sys.argv[1:]:
        load(sys.argv[1:])
    else:
        ask_driver()
