"""One training run from outside: where it is kept, how long it lasts, on which instruction set.

Knows the sections `run` and `native`. Does not know what is learned.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from metabonk.schema.means import means


class RunConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One training run."""

    directory: Annotated[str, means("Where the run is kept; empty: runs/<game>-<time>.")] = ""
    seed: Annotated[int, means("Everything random follows from it.", ge=0)] = 0
    minutes: Annotated[float, means("Stop after this time; 0: train until `steps`.", ge=0.0)] = 0.0
    steps: Annotated[
        int, means("Stop after so many steps of all games; 0 without `minutes`: a default.", ge=0)
    ] = 0
    checkpoint_every: Annotated[float, means("Seconds between checkpoints.", gt=0.0)] = 60.0
    keep_checkpoints: Annotated[int, means("Newest checkpoints that are kept.", ge=2)] = 3
    eval_every: Annotated[
        float, means("Seconds between evaluations; 0: only at the end.", ge=0.0)
    ] = 0.0
    eval_episodes: Annotated[int, means("Episodes per evaluation.", ge=1)] = 64
    eval_sampled: Annotated[
        bool, means("Evaluate with sampled actions, as in training; else with the likeliest.")
    ] = True
    record: Annotated[bool, means("Keep every step as episodes under <run>/episodes.")] = False
    video: Annotated[bool, means("Film the best evaluation episode.")] = True
    torch_threads: Annotated[
        int, means("Threads of the network; 0: what is quickest here.", ge=0)
    ] = 0
    acting: Annotated[
        Literal["auto", "torch", "compiled"],
        means("How rollouts are acted; auto: what is quicker here, if the run is long enough."),
    ] = "auto"


class NativeConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The native core."""

    cpu: Annotated[
        Literal["auto", "baseline", "avx2", "avx512", "vnni", "bf16", "amx"],
        means(
            "Highest instruction set it may use; games are the same on all. vnni, bf16 and amx: "
            "AVX-512 with these extensions, each with those before it."
        ),
    ] = "auto"
