"""The METABONK_* names that people already have in their scripts, and what became of each.

A table: `config.py` reads the environment by it. A name without a key belongs to a part that is not
built yet: setting it is a warning, so that old scripts keep running and nobody believes that it had
an effect. Whoever builds the part gives the name its key here. Neither such a name nor the key's
own METABONK_SECTION_KEY goes before the other: both may be set to one value, and different ones are
an error. Two names are not ours: that by which a profiler attaches itself, and where .NET's named
pipes lie.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """A known name. key: the configuration key it sets, empty while nothing reads it.

    default: the value its users expect when it is not set. build: read by the build of the native
    code and not by the program. value: of a switch, what its key becomes where the switch is on;
    off it changes nothing. yields_to: another switch, before which this one goes back.
    """

    name: str
    default: str
    help: str
    key: str = ""
    build: bool = False
    value: str = ""
    yields_to: str = ""


KNOWN = (
    Variable(
        "METABONK_CPU",
        "auto",
        "Highest instruction set it may use: auto, baseline, avx2, avx512, vnni, bf16 or amx.",
        key="native.cpu",
    ),
    Variable(
        "METABONK_CUDA",
        "AUTO",
        "Whether the build makes the CUDA module: ON, OFF, AUTO.",
        build=True,
    ),
    # Links to the real game.
    Variable(
        "METABONK_USE_BONKLINK",
        "0",
        "Play the real game over BonkLink (TCP by default).",
        key="game.name",
        value="bonklink",
        yields_to="METABONK_USE_RESEARCH_SHM",
    ),
    Variable(
        "METABONK_BONKLINK_HOST",
        "127.0.0.1",
        "Host that BonkLink's plugin listens on.",
        key="game.host",
    ),
    Variable(
        "METABONK_BONKLINK_PORT",
        "5555",
        "Port that BonkLink's plugin listens on.",
        key="game.port",
    ),
    Variable(
        "METABONK_BONKLINK_USE_PIPE",
        "0",
        "Reach BonkLink over a named pipe, not TCP.",
        key="game.use_pipe",
    ),
    Variable(
        "METABONK_BONKLINK_PIPE_NAME", "BonkLink", "Name of BonkLink's pipe.", key="game.pipe_name"
    ),
    Variable(
        "METABONK_USE_RESEARCH_SHM",
        "0",
        "Play the real game over ResearchPlugin's shared memory; wins over BonkLink.",
        key="game.name",
        value="research_shm",
    ),
    Variable(
        "MEGABONK_RESEARCH_SHM_DIR",
        "/dev/shm",
        "Folder of ResearchPlugin's shared memory.",
        key="game.research_dir",
    ),
    # Menus and System 2.
    Variable(
        "METABONK_USE_VLM_MENU",
        "0",
        "Let System 2, a vision-language model for example, click through menus.",
        key="menu.enabled",
    ),
    Variable(
        "METABONK_VLM_MENU_MODEL",
        "llava:7b",
        "The menu navigator's model, as the model server calls it.",
        key="menu.model",
    ),
    Variable(
        "METABONK_COGNITIVE_SERVER_URL",
        "tcp://localhost:5555",
        "Where the cognitive server is.",
        key="cognition.server",
    ),
    Variable(
        "METABONK_STRATEGY_FREQUENCY",
        "2.0",
        "Seconds between requests to System 2.",
        key="cognition.every",
    ),
    Variable(
        "METABONK_SYSTEM2_ENABLED",
        "0",
        "Ask System 2 for directives while playing.",
        key="cognition.enabled",
    ),
    Variable(
        "METABONK_RL_LOGGING",
        "0",
        "Log System 2's decisions for later training.",
        key="cognition.rl_logging",
    ),
    # The dual-system controller.
    Variable(
        "METABONK_USE_SIMA2",
        "0",
        "Play with the planner + motor controller.",
        key="sima2.enabled",
    ),
    Variable("METABONK_SIMA2_USE_SKILLS", "1", "Swap skill vectors into the motor while playing."),
    Variable("METABONK_SKILL_DB_PATH", "./skill_vectors", "Folder of the skill vectors."),
    # Learning.
    Variable(
        "METABONK_TRAIN_CPQE",
        "0",
        "Distil a consistency motor from on-policy rollouts.",
        key="cpqe.enabled",
    ),
    Variable(
        "METABONK_USE_DREAM_TRAINING",
        "1",
        "Train an actor in the world model's dreams; set to 1, it brings a world model.",
        key="dream.enabled",
    ),
    Variable(
        "METABONK_DREAM_ACTOR_LR",
        "3e-4",
        "Learning rate of the dream actor.",
        key="dream.learning_rate",
    ),
    Variable(
        "METABONK_USE_ACTIVE_INFERENCE",
        "1",
        "Train the expected-free-energy head; set to 1, it brings a world model.",
        key="efe.enabled",
    ),
    Variable(
        "METABONK_VIDEO_ROLLOUTS_PT_DIR",
        "",
        "Folder of rollouts made from videos (.pt).",
        key="dream.recordings",
    ),
    Variable("METABONK_USE_CAUSAL", "0", "Estimate what each offer causes while playing."),
    Variable("METABONK_CAUSAL_HORIZON_S", "5", "Seconds after an offer in which it may act."),
    # Proposals by a language model.
    Variable("METABONK_LLM_BACKEND", "", "Which language model server answers."),
    Variable("METABONK_LLM_MODEL", "", "Which language model answers."),
    Variable("METABONK_LLM_AUTO_MERGE", "1", "Let a language model propose merge weights."),
    Variable("METABONK_USE_LLM_SKILL_COMPOSER", "1", "Let a language model scale skill vectors."),
    Variable("METABONK_LLM_SKILL_SELECT_ALL", "1", "Offer it the whole library of skills."),
    Variable("METABONK_USE_LLM_PBT_WEIGHTS", "1", "Let a language model propose reward weights."),
)


def caps_processor() -> bool:
    """Whether a variable sets `native.cpu`: without one, operations need no configuration, and run
    where nothing is installed that reads one."""
    return not os.environ.keys().isdisjoint({"METABONK_CPU", "METABONK_NATIVE_CPU"})


def profiler() -> str:
    """The library of a profiler that is attached to this process and takes NVTX ranges, or "".

    NVTX itself finds its tool by this name and no other (nvtxDetail/nvtxInit.h).
    """
    return os.environ.get("NVTX_INJECTION64_PATH", "")


def pipes() -> str:
    """The folder of named pipes' sockets, where .NET has it: ${TMPDIR:-/tmp}."""
    return os.environ.get("TMPDIR") or "/tmp"
