"""Core between an agent and the game's main thread: actions held, kept and given up; uploads."""

from __future__ import annotations

from csharp import Peer


def test_actions_are_held_kept_and_given_up(peer: Peer) -> None:
    script = """take 0 put 1 0.5 0 0 take 2 take 50 take 150
        put 200 0.25 1 0 put 201 -1 0 3 put 202 -0.5 0 0 take 203 take 204
        put 300 NaN 1 99 take 301 clear take 302"""
    assert peer.run("mailbox", *script.split()).decode().splitlines() == [
        "None 0 0 0",  # nobody acts: the person does
        "Fresh 0.5 0 0",
        "Held 0.5 0 0",
        "Safe 0 0 0",  # for too long nothing came
        "Fresh -0.5 1 3",  # the newest move; what was pressed before it is not lost
        "Held -0.5 0 0",  # nor pressed twice
        "Fresh 0 1 99",
        "None 0 0 0",  # the agent is gone
        "received 5 overtaken 2 fresh 3 held 2 safe 1",
    ]


def test_the_guard_of_uploads_lets_nothing_through_once_an_agent_played(peer: Peer) -> None:
    assert peer.run("guard").decode().splitlines() == [
        "False True",  # nothing is watched: nothing may be injected
        "False how statistics leave this version of the game is not known, so they cannot be "
        "kept back",
        "True True 0",  # both are watched, and nobody has played: a person's score leaves
        "False False 2",
        "2",
    ]
