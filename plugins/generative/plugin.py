"""What the generative domain registers: names and where they are found, nothing more.

Imports neither MXNet nor NumPy: the classes are loaded when a run asks for them.
"""

from __future__ import annotations

from dope.core.hookspecs import Register, hookimpl

HERE = "dope.plugins.generative"


@hookimpl
def register_losses(register: Register) -> None:
    register(
        "generative.wasserstein",
        f"{HERE}.objectives:Wasserstein",
        summary="A critic's score, high for what is real",
    )
