"""The ids under which Gymnasium finds our environments. Knows names only; imports no game.

`import metabonk` registers them. Gymnasium is not imported for it: where it is not there yet, they
are registered once it is.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # to be called suffices; the module brings archives and temporary files to every start
    Loader = MetaPathFinder = object

# Named here so that registering needs no native core; a test compares them with its own list.
GRID64 = (
    "key_door",
    "t_maze",
    "noisy_tv",
    "stall_clock",
    "push_blocks",
    "click_switch",
    "ice_slide",
    "memory_match",
    "conveyor",
)

# Games that run already, by id.
LINKS = {
    "metabonk/BonkLink-v0": "metabonk.games.bonklink:BonkLinkEnv",
    "metabonk/ResearchShm-v0": "metabonk.games.research_shm:ResearchShmEnv",
}


def grid64_id(game: str) -> str:
    """The id of a grid64 game: `key_door` is metabonk/Grid64-KeyDoor-v0."""
    return f"metabonk/Grid64-{''.join(word.capitalize() for word in game.split('_'))}-v0"


def register() -> None:
    """Registers every id that is not there yet; safe to call again."""
    from gymnasium.envs.registration import register as add
    from gymnasium.envs.registration import registry

    if "metabonk/Arena-v0" not in registry:
        add(
            "metabonk/Arena-v0",
            entry_point="metabonk.games.arena:ArenaEnv",
            vector_entry_point="metabonk.games.arena:ArenaVectorEnv",
        )
    for name, entry in LINKS.items():
        if name not in registry:
            add(name, entry_point=entry)
    for game in GRID64:
        if grid64_id(game) not in registry:
            add(
                grid64_id(game),
                entry_point="metabonk.games.grid64_env:Grid64Env",
                vector_entry_point="metabonk.games.grid64_env:Grid64VectorEnv",
                kwargs={"game": game},
            )


def register_with_gymnasium() -> None:
    """`register` now if Gymnasium is imported, else as soon as it has been."""
    if "gymnasium" in sys.modules:
        register()
    elif not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())


class _Waiting(MetaPathFinder):
    """Notices the first import of Gymnasium and then goes away."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Then(spec.loader)
        return spec


class _Then(Loader):
    """Loads Gymnasium as it would have been, then registers."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        register()
