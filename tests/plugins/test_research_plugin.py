"""ResearchPlugin as it is shipped, in a game of our stand-ins, stepped by our own agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from csharp import Peer
from rehearsal import Rehearsal, wait_for

from metabonk.errors import LinkError
from metabonk.link.research_shm import ResearchAgent, ResearchGame, Seen, path_of

SETTINGS = "com.metabonk.research.cfg"


@pytest.fixture
def game(
    runtime: list[str | Path], rehearsal_program: Path, tmp_path: Path
) -> Iterator[Callable[..., Rehearsal]]:
    started: list[Rehearsal] = []

    def start(settings: str = "") -> Rehearsal:
        (tmp_path / SETTINGS).write_text(
            f"[Memory]\nEnabled = true\nFolder = {tmp_path}\nWidth = 16\nHeight = 12\n"
            f"[Step]\nHoldMs = 5\nHz = 50\n{settings}"
        )
        started.append(Rehearsal([*runtime, rehearsal_program], "research", tmp_path))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def seen_by(agent: ResearchAgent) -> Seen:
    return wait_for(lambda: agent.observe(1.0))


def act(agent: ResearchAgent, *numbers: float) -> Seen:
    agent.act(np.array([*numbers, *[0.0] * (6 - len(numbers))], np.float32))
    return seen_by(agent)


def test_a_step_is_a_fixed_time_with_its_reward(
    game: Callable[..., Rehearsal], tmp_path: Path
) -> None:
    running = game("[Reward]\nSecond = 1\nHurt = -2\nKill = 3\n")
    agent = ResearchAgent(path_of(0, tmp_path), patience=10.0)
    assert agent.fills
    assert agent.size == (12, 16)
    first = seen_by(agent)
    assert (first.step, first.reward, first.done) == (0, 0.0, False)
    for step in range(1, 21):
        seen = act(agent, 1.0, 0.0)
        assert seen.step == step
        assert (
            seen.time_ms == first.time_ms + step * 20
        )  # 50 frames a second, however long they took
        assert seen.reward == pytest.approx(0.02, abs=1e-5)
        # 6 metres a second; the lowest row says how far the player is.
        assert int(seen.pixels[-1, 0, 0]) == pytest.approx(step * 6 / 50 * 10, abs=1)
        assert not seen.done
    still = act(agent)
    assert int(still.pixels[-1, 0, 0]) == pytest.approx(int(seen.pixels[-1, 0, 0]), abs=1)
    running.do("hurt 25")
    assert act(agent).reward == pytest.approx(0.02 - 2 * 0.25, abs=1e-5)
    running.do("spawn 1")
    act(agent)
    running.do("kill")
    assert act(agent).reward == pytest.approx(0.02 + 3, abs=1e-5)
    agent.close()
    running.stop()
    assert not path_of(0, tmp_path).exists()


def test_death_ends_an_episode_and_reset_begins_one(
    game: Callable[..., Rehearsal], tmp_path: Path
) -> None:
    running = game("[Step]\nSeed = 99\n[Reward]\nDeath = -5\nHurt = 0\nSecond = 0\n")
    agent = ResearchAgent(path_of(0, tmp_path), patience=10.0)
    seen_by(agent)
    act(agent, 1.0)
    running.do("die")
    last = act(agent, 1.0)
    assert last.done
    assert last.reward == -5
    again = act(agent)
    assert not again.done  # said once
    assert again.reward == 0
    agent.reset()
    fresh = seen_by(agent)
    assert (fresh.step, fresh.done, fresh.time_ms) == (0, False, pytest.approx(20, abs=20))
    shown = running.show()
    assert (shown["restarts"], shown["seeded"]) == (1, 99)
    assert act(agent, 1.0).step == 1
    agent.close()
    running.stop()


def test_a_step_without_a_picture_waits_for_one(
    game: Callable[..., Rehearsal], tmp_path: Path
) -> None:
    running = game("[Reward]\nSecond = 0\nHurt = -2\n")
    agent = ResearchAgent(path_of(0, tmp_path), patience=10.0)
    seen_by(agent)
    running.do("camera off")
    running.do("hurt 25")
    agent.act(np.zeros(6, np.float32))
    assert agent.observe(0.3) is None  # the last picture is none of this step
    assert any("no main camera" in line for line in running.do("show"))
    running.do("camera on")
    seen = seen_by(agent)
    assert (seen.step, seen.done) == (1, False)
    assert seen.reward == pytest.approx(-2 * 0.25, abs=1e-5)  # of the whole step
    agent.close()
    running.stop()


def test_a_reset_outside_of_a_run_waits_for_one(
    game: Callable[..., Rehearsal], tmp_path: Path
) -> None:
    running = game()
    agent = ResearchAgent(path_of(0, tmp_path), patience=10.0)
    running.do("mainmenu")
    act(agent)
    agent.reset()
    assert agent.observe(0.3) is None
    said = [line for line in running.do("show") if "RESET waits for a run" in line]
    assert len(said) == 1
    assert "begin one in the menus" in said[0]
    assert running.show()["restarts"] == 0
    agent.close()
    running.stop()


def test_the_same_actions_give_the_same_episode(
    game: Callable[..., Rehearsal], tmp_path: Path
) -> None:
    running = game()
    agent = ResearchAgent(path_of(0, tmp_path), patience=10.0)
    seen_by(agent)
    moves = np.random.default_rng(4).uniform(-1, 1, (60, 2)).astype(np.float32)
    episodes = []
    for _ in range(2):
        agent.reset()
        steps = [seen_by(agent)]
        steps += [act(agent, float(x), float(y)) for x, y in moves]
        episodes.append(
            [(s.reward, s.done, s.step, s.time_ms, s.pixels[-1].tobytes()) for s in steps]
        )
    assert episodes[0] == episodes[1]
    agent.reset()
    other = [seen_by(agent)] + [act(agent, float(y), float(x)) for x, y in moves]
    assert episodes[0][-1][4] != other[-1].pixels[-1].tobytes()
    agent.close()
    running.stop()


def test_the_game_stands_still_while_nobody_steps_it(
    game: Callable[..., Rehearsal], tmp_path: Path
) -> None:
    running = game()
    agent = ResearchAgent(path_of(0, tmp_path), patience=10.0)
    before = seen_by(agent)
    assert running.show()["scale"] == 0
    assert agent.observe(0.3) is None
    assert act(agent, 1.0).time_ms == before.time_ms + 20
    agent.close()
    running.stop()


def test_the_games_time_is_its_own_again_after_unloading(
    game: Callable[..., Rehearsal], tmp_path: Path
) -> None:
    running = game()
    agent = ResearchAgent(path_of(0, tmp_path), patience=10.0)
    seen_by(agent)
    shown = running.show()
    assert (shown["physics"], shown["scale"]) == (0.02, 0)
    agent.close()
    running.do("unload")
    shown = running.show()
    assert (shown["physics"], shown["scale"]) == (0.0167, 1)
    running.stop()


def test_buttons_jump_and_choose(game: Callable[..., Rehearsal], tmp_path: Path) -> None:
    running = game()
    agent = ResearchAgent(path_of(0, tmp_path), patience=10.0)
    seen_by(agent)
    act(agent, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0)
    shown = running.show()
    assert (shown["jumps"], shown["tried"], shown["slides"]) == (1, 1, 0)
    running.do("levelup")
    act(agent)
    act(agent, 0.0, 0.0, 0.0, 1.0)  # the second button, the second offer
    assert running.show()["pressed"] == 2
    assert running.told("score") == "uploaded 0 stored 0"
    agent.close()
    running.stop()


def test_a_game_that_ends_says_so(game: Callable[..., Rehearsal], tmp_path: Path) -> None:
    running = game()
    agent = ResearchAgent(path_of(0, tmp_path), patience=10.0)
    seen_by(agent)
    running.stop()
    with pytest.raises(LinkError, match=r"ended|died"):
        agent.observe(5.0)
    agent.close()


def test_it_is_off_until_it_is_switched_on(game: Callable[..., Rehearsal], tmp_path: Path) -> None:
    running = game("[Memory]\nEnabled = false\n")
    assert not path_of(0, tmp_path).exists()
    assert running.log == []
    running.stop()


def test_a_living_games_file_is_left_alone(peer: Peer, tmp_path: Path) -> None:
    path = path_of(0, tmp_path)
    living = ResearchGame(path, (3, 4))
    assert "another game has this file" in peer.fail("research-file", path)
    assert ResearchAgent(path).size == (3, 4)
    living.close()
    for left in (b"", b"short", bytes(200)):  # of one that is dead, or was none
        path.write_bytes(left)
        assert peer.run("research-file", path).strip() == b"True"
        assert not path.exists()


def test_what_a_killed_game_left_unfinished_goes(peer: Peer, tmp_path: Path) -> None:
    path = path_of(0, tmp_path)
    mine = [path.with_name(f"{path.name}{end}.partial") for end in ("", ".0123456789abcdef")]
    other = path.with_name(f"{path.name}0.0123456789abcdef.partial")  # of game 10, as 0 is of 1
    for left in (*mine, other):
        left.write_bytes(b"")
    assert peer.run("research-file", path).strip() == b"True"
    assert list(tmp_path.iterdir()) == [other]
