"""All hook specifications of dope, on one screen, and the two markers that go with them.

Holds no logic: ``plugging/discovery.py`` calls the hooks, ``plugging/registry.py`` keeps the names.
"""

from __future__ import annotations

from typing import Protocol

import pluggy

hookspec = pluggy.HookspecMarker("dope")
hookimpl = pluggy.HookimplMarker("dope")


class Register(Protocol):
    """What a hook receives: ``register("plugin.name", "package.module:Name", summary="…")``."""

    def __call__(self, name: str, target: str, *, summary: str) -> None:
        """Register one part by its import string; nothing is imported until it is used."""


class Hooks:
    """A plugin is a module with any of these five functions, each marked ``@hookimpl``."""

    @hookspec
    def register_datasets(self, register: Register) -> None:
        """Data sets: what a task learns from and is measured on."""

    @hookspec
    def register_models(self, register: Register) -> None:
        """Models: the networks, or the equations, with parameters to learn."""

    @hookspec
    def register_losses(self, register: Register) -> None:
        """Losses: one number per example, which learning makes small."""

    @hookspec
    def register_tasks(self, register: Register) -> None:
        """Tasks: what ``dope run`` runs; each composes a data set, a model and a loss."""

    @hookspec
    def register_callbacks(self, register: Register) -> None:
        """Callbacks: what the trainer tells of its events."""
