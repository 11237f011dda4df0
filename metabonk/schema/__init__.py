"""The settings there are: sections, keys, types, bounds, defaults and what each means.

Knows msgspec only. config.py reads them from files, variables and flags. A section is a struct in
one of these files and a field of `Config`; `settings()` lists them in its order.
"""

from __future__ import annotations

import msgspec

from metabonk.schema.dreams import DreamConfig, EfeConfig, WorldConfig
from metabonk.schema.game import GameConfig
from metabonk.schema.motors import CpqeConfig, Sima2Config
from metabonk.schema.policy import ModelConfig, PPOConfig
from metabonk.schema.run import NativeConfig, RunConfig
from metabonk.schema.servers import BackendConfig, BrokerConfig, VlmConfig
from metabonk.schema.system2 import CognitionConfig, DistilConfig, MenuConfig
from metabonk.schema.unread import idle

__all__ = [
    "BackendConfig",
    "BrokerConfig",
    "CognitionConfig",
    "Config",
    "CpqeConfig",
    "DistilConfig",
    "DreamConfig",
    "EfeConfig",
    "GameConfig",
    "MenuConfig",
    "ModelConfig",
    "NativeConfig",
    "PPOConfig",
    "RunConfig",
    "Sima2Config",
    "VlmConfig",
    "WorldConfig",
    "idle",
]


class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set."""

    game: GameConfig = msgspec.field(default_factory=GameConfig)
    model: ModelConfig = msgspec.field(default_factory=ModelConfig)
    ppo: PPOConfig = msgspec.field(default_factory=PPOConfig)
    world: WorldConfig = msgspec.field(default_factory=WorldConfig)
    dream: DreamConfig = msgspec.field(default_factory=DreamConfig)
    efe: EfeConfig = msgspec.field(default_factory=EfeConfig)
    cpqe: CpqeConfig = msgspec.field(default_factory=CpqeConfig)
    distil: DistilConfig = msgspec.field(default_factory=DistilConfig)
    menu: MenuConfig = msgspec.field(default_factory=MenuConfig)
    sima2: Sima2Config = msgspec.field(default_factory=Sima2Config)
    cognition: CognitionConfig = msgspec.field(default_factory=CognitionConfig)
    run: RunConfig = msgspec.field(default_factory=RunConfig)
    native: NativeConfig = msgspec.field(default_factory=NativeConfig)
    backend: BackendConfig = msgspec.field(default_factory=BackendConfig)
    vlm: VlmConfig = msgspec.field(default_factory=VlmConfig)
    broker: BrokerConfig = msgspec.field(default_factory=BrokerConfig)
