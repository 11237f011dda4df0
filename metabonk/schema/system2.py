"""System 2 from the game's side: how it is asked, what it does in menus, what is learned of it.

Knows the sections `cognition`, `menu` and `distil`. Does not know who answers (servers.py).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from metabonk.schema.means import means


class CognitionConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """System 2 as the game's side sees it: the cognitive server and how it is asked."""

    enabled: Annotated[
        bool, means("Ask System 2 for directives while playing; no tick waits for it.")
    ] = False
    server: Annotated[
        str, means("Where the cognitive server is: tcp://HOST:PORT or ipc://PATH.")
    ] = "tcp://localhost:5555"
    every: Annotated[float, means("Seconds between regular requests.", ge=0.05, le=3600.0)] = 2.0
    patience: Annotated[
        float,
        means("Seconds from a capture until an answer to it is of no use.", ge=0.05, le=60.0),
    ] = 4.0
    rl_logging: Annotated[
        bool, means("Report what came of every decision, for training from the server's journal.")
    ] = False
    pictures: Annotated[
        bool, means("Send strips of frames with the states, where the game has frames.")
    ] = True
    quality: Annotated[int, means("Of the strips' JPEGs.", ge=1, le=100)] = 85
    predictor: Annotated[
        Literal["auto", "none", "flow", "dream"],
        means(
            "Who draws the frames that come next; auto: the one that was measured to be clearly "
            "better than copying the last frame, if there is one."
        ),
    ] = "auto"
    fallback: Annotated[
        Literal["rules", "none"],
        means("Who gives directives while the server gives none: the embedded rules, or nobody."),
    ] = "rules"
    protocol: Annotated[
        Literal["v2", "v1"], means("v1: of cognitive servers that are deployed already.")
    ] = "v2"
    agent: Annotated[
        str, means("Name of this process's agents, which are numbered: omega-0, omega-1, ...")
    ] = "omega"
    key: Annotated[
        str, means("File of these agents' secret key, for a server on another machine.")
    ] = ""
    server_key: Annotated[str, means("File of that server's public key.")] = ""


class MenuConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The menu navigator, which goes from menus to a running game."""

    enabled: Annotated[
        bool, means("Let System 2 press what is in menus, and keep the policy's clicks off them.")
    ] = False
    goal: Annotated[
        str, means("What it is to reach, in words, as: Start Tier 3 run with Calcium.")
    ] = ""
    model: Annotated[
        str, means("Model that the server asks about menus; empty: the one of its strategy.")
    ] = ""
    offers: Annotated[bool, means("Also let it choose among a run's offers, not the policy.")] = (
        False
    )


class DistilConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A small policy that learns from the log of System 2's decisions."""

    hidden: Annotated[int, means("Units of each hidden layer.", ge=1, le=1024)] = 64
    updates: Annotated[int, means("Updates of the policy.", ge=1)] = 3000
    batch: Annotated[int, means("Decisions per update.", ge=1)] = 256
    learning_rate: Annotated[float, means("Adam's step size, falling to zero.", gt=0.0)] = 2e-3
    beta: Annotated[
        float,
        means(
            "Advantage, in deviations of the reward, by which a decision weighs e times as much; "
            "0: all alike.",
            ge=0.0,
        ),
    ] = 2.0
    most_rows: Annotated[
        int, means("Decisions that are read from a log, the newest ones.", ge=1)
    ] = 50_000
