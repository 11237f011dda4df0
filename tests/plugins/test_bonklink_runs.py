"""BonkLink as it is shipped, in a game of our stand-ins: how an agent comes to a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rehearsal import Rehearsal, agent_of, summaries, until, wait_for

from metabonk.errors import LinkError
from metabonk.link.wire import Capability
from metabonk.records import Action


@pytest.mark.parametrize("runtime", ["mono"], indirect=True)
@pytest.mark.parametrize(
    ("settings", "absent", "plays"),
    [
        ("InjectActions = false", [], False),
        ("BlockUploads = false", [], False),
        ("", ["Steamworks.SteamUserStats", "Il2CppSteamworks.SteamUserStats"], False),
        ("", [], True),
    ],
    ids=["watches", "uploads", "unguarded", "plays"],
)
def test_reset_is_offered_to_who_may_act(
    bonklink: Callable[..., Rehearsal], settings: str, absent: list[str], plays: bool
) -> None:
    running = bonklink(f"[Control]\n{settings}\n", absent=absent)
    with agent_of(running) as agent:
        until(agent, lambda t: t.state.time > 0.3)
        assert (Capability.RESETS in agent.capabilities) == plays
        if plays:
            agent.reset()
            until(agent, lambda t: t.state.time < 0.2)
        else:
            with pytest.raises(LinkError, match="does not start episodes on demand"):
                agent.reset()
    assert running.show()["restarts"] == plays
    running.stop()


def test_in_the_main_menu_a_run_begins_by_presses(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink()
    running.do("mainmenu")
    with agent_of(running) as agent:
        state = until(agent, lambda t: t.state.menu == "MainMenu").state
        assert (state.playing, state.time, state.max_health) == (False, 0, 0)
        assert [widget.text for widget in state.widgets] == ["Play", "Quit"]
        agent.send(Action(move=(1, 0), jump=True, slide=True))  # there is nobody to move
        until(agent, lambda t: True)
        agent.reset(seed=3)

        def refused() -> str | None:
            return next((s for s in running.do("show") if "RESET began no run" in s), None)

        assert "begin one in the menus" in wait_for(refused)
        shown = running.show()
        assert (shown["restarts"], shown["seeded"], shown["jumps"]) == (0, 0, 0)
        agent.send(Action(choice=1))
        state = until(agent, lambda t: t.state.widgets[0].text != "Play").state
        assert [widget.text for widget in state.widgets] == ["Back", "Confirm"]
        agent.send(Action(choice=2))
        until(agent, lambda t: t.state.playing and t.state.time > 0.3)
        agent.reset(seed=3)  # the control
        until(agent, lambda t: t.state.playing and t.state.time < 0.2)
        shown = running.show()
        assert (shown["restarts"], shown["seeded"], shown["pressed"]) == (1, 3, 12)
    said = summaries(running, "show", "agent 1 is gone after")
    assert (said["resets"], said["resets that began no run"]) == (2, 1)
    running.stop()
