"""Which game is played, how it is reached and how an agent sees it.

Knows the section `game`. Does not know games; metabonk.games reads it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from metabonk.schema.means import means


class GameConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which game is played, and how."""

    name: Annotated[
        str, means("Game: arena, grid64/<name>, doom/<scenario>, ...; `metabonk games` lists them.")
    ] = "arena"
    level: Annotated[
        str, means("Name or path (JSON) of a level specification; empty for the game's own level.")
    ] = ""
    layouts: Annotated[
        int, means("So many different episodes, over and over; 0: every one is new (grid64).", ge=0)
    ] = 0
    envs: Annotated[int, means("Games that are played side by side.", ge=1)] = 64
    threads: Annotated[int, means("Threads that step them; 0: one per processor.", ge=0)] = 0
    pixels: Annotated[
        tuple[int, int], means("Height and width of rendered frames, as 84x84; 0x0 for none.")
    ] = (0, 0)
    frame_skip: Annotated[
        int, means("Game ticks per decision; 0: the game's own default.", ge=0)
    ] = 0
    latency: Annotated[
        float,
        means("Seconds until a decision takes effect, simulated; 0: at once.", ge=0.0, le=5.0),
    ] = 0.0
    jitter: Annotated[
        float,
        means("Seconds by which simulated delays are longer at most, at random.", ge=0.0, le=5.0),
    ] = 0.0
    observation_latency: Annotated[
        float,
        means("Seconds until what the game shows is seen, simulated.", ge=0.0, le=5.0),
    ] = 0.0
    record: Annotated[
        str, means("Folder for Doom's own recordings (.lmp), one an episode; empty: none.")
    ] = ""
    protocol: Annotated[
        Literal["auto", "v1", "v2"],
        means("BonkLink's version; auto: v2 where the game announces it."),
    ] = "auto"
    host: Annotated[str, means("Where BonkLink's game listens.")] = "127.0.0.1"
    port: Annotated[
        int, means("And on which port; several games are numbered on from it.", ge=1, le=65535)
    ] = 5555
    use_pipe: Annotated[bool, means("Reach BonkLink over a named pipe, not TCP.")] = False
    pipe_name: Annotated[str, means("Name of BonkLink's pipe.")] = "BonkLink"
    token_file: Annotated[
        str, means("File with the secret that BonkLink's game asks for; empty: none.")
    ] = ""
    offer_places: Annotated[
        str,
        means(
            "Where offers are clicked in a game that names no widgets (BonkLink v1): x,y of each, "
            "0..1 from the top left, with spaces between; the arena's."
        ),
    ] = "0.5,0.265 0.5,0.415 0.5,0.565 0.5,0.715"
    restart_click: Annotated[
        str, means("And where the next run is begun there: x,y; the arena's.")
    ] = "0.5,0.41"
    research_dir: Annotated[str, means("Folder of ResearchPlugin's shared memory.")] = "/dev/shm"
    instance: Annotated[
        str, means("Which game of ResearchPlugin; several are numbered on from it.")
    ] = "0"
