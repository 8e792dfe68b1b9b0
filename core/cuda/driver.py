"""NVIDIA's driver and its cards, and which of them a build of MXNet can use.

Asks in a process of its own (asking.py); loads no library and runs no kernel.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

from dope.core.cuda.apart import ending, told
from dope.core.errors import BackendError

SECONDS = 30.0  # a machine of eight cards without persistence mode takes ten
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


class Limits(NamedTuple):
    """What a build needs: compute capabilities of cards, and CUDA's version of the driver."""

    lowest: tuple[int, int]
    highest: tuple[int, int]
    cuda: tuple[int, int]


# libmxnet of mxnet-cu112 1.9.1 holds machine code for 5.0, 6.0, 7.0, 8.0 and 8.6, each of which
# runs on later cards of the same major version, and no PTX that a driver could translate for
# others. NVIDIA's CUDA 11.8 libraries need a driver for CUDA 11.0 or later.
LIMITS = {"mxnet-cu112": Limits((5, 0), (8, 9), (11, 0))}
# MXNet compiles fused operators to PTX at run time, with NVRTC 11.8; older drivers refuse it.
FUSION_NEEDS = (11, 8)


@dataclass(frozen=True)
class Card:
    """A card that CUDA shows.

    Parameters
    ----------
    name
        As the driver says it.
    capability
        Compute capability, major and minor.
    trouble
        Why the driver does not tell of it; empty otherwise.
    """

    name: str
    capability: tuple[int, ...] = ()
    trouble: str = ""

    def unfit(self, build: str) -> str:
        """Why this build cannot use the card; empty when it can."""
        if self.trouble:
            return self.trouble
        limits = LIMITS.get(build)
        if limits and not limits.lowest <= self.capability <= limits.highest:
            return (
                f"{self.name} has compute capability {dotted(self.capability)}, and {build} has "
                f"code for {dotted(limits.lowest)} to {dotted(limits.highest)}"
            )
        return ""


@dataclass(frozen=True)
class Driver:
    """The driver and what it said.

    Parameters
    ----------
    missing
        Why ``libcuda.so.1`` does not load; empty when it does.
    trouble
        Why no card can be used, whatever the build; empty otherwise.
    release
        The driver's own version, such as 535.104.05; empty where unknown.
    cuda
        The newest version of CUDA that it is for; empty where unknown.
    cards
        In CUDA's order, ``CUDA_VISIBLE_DEVICES`` obeyed: card i is ``gpu(i)``.
    """

    missing: str = ""
    trouble: str = ""
    release: str = ""
    cuda: tuple[int, ...] = ()
    cards: tuple[Card, ...] = ()

    def unfit(self, build: str) -> str:
        """Why no card can be used with this build, whichever it is; empty otherwise."""
        if self.missing:
            return "there is no NVIDIA driver"
        limits = LIMITS.get(build)
        if limits and self.cuda and self.cuda < limits.cuda:
            return (
                f"the NVIDIA driver is for CUDA {dotted(self.cuda)}, and {build} needs one for "
                f"{dotted(limits.cuda)} or later (450.80 or newer)"
            )
        return self.trouble

    def refusal(self, build: str, index: int) -> str:
        """Why this build cannot use ``gpu(index)``; empty when it can."""
        if self.unfit(build):
            return self.unfit(build)
        if index >= len(self.cards):
            last = len(self.cards) - 1
            return "only gpu(0) is there" if last == 0 else f"only gpu(0) to gpu({last}) are there"
        return self.cards[index].unfit(build)

    def usable(self, build: str) -> list[int]:
        """Numbers of the cards that this build can use."""
        return [i for i in range(len(self.cards)) if not self.refusal(build, i)]

    def left_out(self, build: str) -> str:
        """Why cards are left out, or none is there; empty when all can be used."""
        if self.unfit(build):
            return self.unfit(build)
        by_reason: dict[str, list[str]] = {}
        for index, card in enumerate(self.cards):
            by_reason.setdefault(card.unfit(build), []).append(f"gpu({index})")
        return "; ".join(f"{', '.join(gpus)}: {why}" for why, gpus in by_reason.items() if why)

    def text(self) -> str:
        """``535.104.05, CUDA 12.2``, or as much of it as is known."""
        known = [self.release, f"CUDA {dotted(self.cuda)}" if self.cuda else ""]
        return ", ".join(filter(None, known)) or "version unknown"

    def require(self, build: str) -> None:
        """Refuse to go on without ``libcuda.so.1``, which a CUDA build does not load without.

        Raises
        ------
        BackendError
            It is not there, or does not load.
        """
        if not self.missing:
            return
        instead = f"pip uninstall -y {build} && pip install 'dope[cpu]'"
        if "cannot open shared object file" in self.missing:
            raise BackendError(
                f"there is no NVIDIA driver: {build} does not load without its libcuda.so.1",
                f"Install the driver, or run: {instead}",
            )
        raise BackendError(
            f"libcuda.so.1 of the NVIDIA driver does not load: {self.missing}",
            f"Install the driver anew, or run: {instead}",
        )


def dotted(version: tuple[int, ...]) -> str:
    """``8.6`` of ``(8, 6)``."""
    return ".".join(map(str, version))


def ask(seconds: Optional[float] = None) -> Driver:
    """Ask the driver for its cards.

    Parameters
    ----------
    seconds
        Longest time that it may take; default 30.
    """
    limit = SECONDS if seconds is None else seconds
    asking = Path(__file__).with_name("asking.py")
    said = told([sys.executable, "-I", "-S", str(asking)], limit)
    if "missing" in said:
        return Driver(missing=" ".join(said["missing"].split()))
    if "loaded" not in said:
        return Driver(missing=ending(said, limit))
    return Driver(
        trouble=_trouble(said, limit),
        release=said.get("release", ""),
        cuda=tuple(said.get("cuda", ())),
        cards=tuple(
            Card(each["name"], tuple(each.get("capability", ())), each.get("refused", ""))
            for each in said.get("cards", ())
        ),
    )


def _trouble(said: dict[str, Any], seconds: float) -> str:
    if said.get("code_of_driver") == NO_DEVICE or (said.get("done") and not said.get("cards")):
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        because = "" if hidden is None else f" (CUDA_VISIBLE_DEVICES is '{hidden}')"
        return f"the NVIDIA driver shows no card{because}"
    if "refused" in said:
        return f"the NVIDIA driver does not work: {said['refused']}"
    if not said.get("done"):
        return f"the NVIDIA driver failed: {ending(said, seconds)}"
    return ""
