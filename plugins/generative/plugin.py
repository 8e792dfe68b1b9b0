"""What the generative domain registers: names and where they are found, nothing more.

Imports neither MXNet nor NumPy: the classes are loaded when a run asks for them.
"""

from __future__ import annotations

from dope.core.hookspecs import Register, hookimpl

HERE = "dope.plugins.generative"


@hookimpl
def register_tasks(register: Register) -> None:
    shipped = {
        "gan": ("gan:GAN", "Make points in a plane that are distributed as the data's"),
        "dcgan": ("dcgan:DCGAN", "Make images from noise by strided convolutions"),
        "pix2pix": ("pix2pix:Pix2Pix", "Translate images into images, learned from pairs"),
    }
    for name, (target, summary) in shipped.items():
        register(f"generative.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_models(register: Register) -> None:
    shipped = {
        "dense_pair": ("gan:dense_pair", "A generator and a discriminator of dense layers"),
        "dcgan": ("dcgan_nets:dcgan", "Strided convolutions from noise to images and back"),
        "translator": ("pix2pix:translator", "A U-Net and a discriminator of patches"),
    }
    for name, (target, summary) in shipped.items():
        register(f"generative.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_losses(register: Register) -> None:
    summary = "A critic's score, high for what is real"
    register("generative.wasserstein", f"{HERE}.objectives:Wasserstein", summary=summary)


@hookimpl
def register_datasets(register: Register) -> None:
    shipped = {
        "gaussian": ("densities:Gaussian", "Points of the book's Gaussian"),
        "ring": ("densities:Ring", "Points of Gaussians on a circle"),
        "swiss_roll": ("densities:SwissRoll", "Points of a spiral"),
        "faces": ("faces:Faces", "Drawn faces in colour, made by rule"),
        "images": ("images:Folder", "Your own images, a folder with any names"),
        "lfw": ("lfw:Lfw", "13,233 photographs of faces, Labeled Faces in the Wild"),
        "houses": ("houses:Houses", "Facades of houses that are drawn: labels and pictures"),
        "pairs": ("pairs:Pairs", "Your own pairs of images, side by side in one file"),
        "facades": ("pairs:Facades", "606 facades and their labels, 256x256"),
        "maps": ("pairs:Maps", "2,194 aerial photographs and street maps"),
        "cityscapes": ("pairs:Cityscapes", "3,475 streets from a car and their labels"),
    }
    for name, (target, summary) in shipped.items():
        register(f"generative.{name}", f"{HERE}.{target}", summary=summary)
