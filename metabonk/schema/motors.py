"""Motors: the one that is learned from what was recorded, and the controller that plays by one.

Knows the sections `cpqe` and `sima2`. Does not know System 2's servers (system2.py, servers.py).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from metabonk.schema.means import means


class CpqeConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A consistency motor with an ensemble of Q functions, learned from what was recorded."""

    enabled: Annotated[
        bool, means("Learn a motor from the run's own newest rollouts when it ends (pilot).")
    ] = False
    hidden: Annotated[int, means("Units of each hidden layer.", ge=1)] = 128
    layers: Annotated[int, means("Residual layers of teacher and student.", ge=1)] = 2
    members: Annotated[int, means("Q functions that judge.", ge=2)] = 5
    prior: Annotated[
        float, means("Weight of each one's random prior, in deviations of the return.", ge=0.0)
    ] = 0.5
    share: Annotated[
        float, means("Share of all steps that each Q function learns from.", gt=0.0, le=1.0)
    ] = 0.5
    candidates: Annotated[int, means("Actions that are proposed per decision.", ge=1)] = 8
    beta: Annotated[
        float, means("Disagreement, in its deviations, that counts against an action.", ge=0.0)
    ] = 1.0
    gamma: Annotated[float, means("Discount per step.", ge=0.0, le=1.0)] = 0.99
    batch: Annotated[int, means("Steps per update.", ge=2)] = 256
    teacher_updates: Annotated[int, means("Updates of the diffusion teacher.", ge=1)] = 4000
    student_updates: Annotated[int, means("Updates of the student, after it.", ge=1)] = 6000
    q_updates: Annotated[int, means("Updates of the Q functions, after both.", ge=1)] = 4000
    levels: Annotated[
        int, means("Noise levels between which the student learns to be consistent.", ge=2)
    ] = 40
    learning_rate: Annotated[float, means("Adam's step size, falling to a tenth.", gt=0.0)] = 1e-3
    max_grad_norm: Annotated[float, means("Longer gradients are scaled to this.", gt=0.0)] = 10.0
    slow: Annotated[
        float, means("Share of a Q function that its target takes per update.", gt=0.0, le=1.0)
    ] = 0.01
    most_steps: Annotated[
        int, means("Steps that are read from recordings, the newest ones.", ge=2)
    ] = 200_000


class Sima2Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The dual-system controller: the embedded planner's directives on a motor's actions."""

    enabled: Annotated[
        bool, means("Play with planner and motor: directives on top of the policy's actions.")
    ] = False
    goal: Annotated[str, means("The planner's goal, in words, as: collect everything.")] = (
        "Survive 20 minutes"
    )
    log: Annotated[bool, means("Show the planner's subgoals.")] = False
    load_cpqe: Annotated[
        bool, means("Act by the newest consistency motor of the run and not by its policy.")
    ] = False
    push_rollouts: Annotated[
        bool, means("Record what the controller does into the run's folder rollouts.")
    ] = False
    run: Annotated[
        str, means("Run whose motor is loaded and where rollouts go; empty: that of the policy.")
    ] = ""
    every: Annotated[float, means("Seconds of the game between plans.", ge=0.05, le=3600.0)] = 2.0
    latency: Annotated[
        float, means("Seconds of the game from a state to its plan, simulated.", ge=0.0, le=60.0)
    ] = 0.0
