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


@hookimpl
def register_tasks(register: Register) -> None:
    shipped = {
        "dcgan": ("dcgan:DCGAN", "Make images from noise by strided convolutions"),
    }
    for name, (target, summary) in shipped.items():
        register(f"generative.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_models(register: Register) -> None:
    shipped = {
        "dcgan": ("dcgan_nets:dcgan", "Strided convolutions from noise to images and back"),
    }
    for name, (target, summary) in shipped.items():
        register(f"generative.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_datasets(register: Register) -> None:
    shipped = {
        "faces": ("faces:Faces", "Drawn faces in colour, made by rule"),
        "images": ("images:Folder", "Your own images, a folder with any names"),
        "lfw": ("lfw:Lfw", "13,233 photographs of faces, Labeled Faces in the Wild"),
    }
    for name, (target, summary) in shipped.items():
        register(f"generative.{name}", f"{HERE}.{target}", summary=summary)
