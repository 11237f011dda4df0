"""A tour of the arena's menus: a run from the main menu to victory, pictured wherever one opens.

Knows who plays it, and how to come to the menus that nobody opens by playing well: a pause, and a
death by giving up. Does not know how menus look; the core draws them.
"""

from __future__ import annotations

from typing import Any

from metabonk.errors import GameError
from metabonk.games.arena import PICTURE, LevelLike, make_for_person
from metabonk.games.batch import allocate
from metabonk.games.scripted import ScriptedPolicy
from metabonk.games.source import Flags
from metabonk.protocols import Array
from metabonk.records import Action, GameState

PLAYING = "Playing"
MENUS = (
    "MainMenu", "CharacterMenu", "MapMenu", "LevelUp", "Chest", "Pause", "Death", "Victory",
)  # fmt: skip

_NO_MENU = "None"  # as GameState.menu says it
# Short and easy, so that the scripted policy wins it; menus look as in any level.
LEVEL: dict[str, Any] = {
    "start": "main_menu",
    "allow_pause": True,
    "start_weapons": ["bow", "lightning", "aura"],
    "start_weapon_level": 4,
    "time": {"duration": 300.0, "max_ticks": 0, "boss_at": 40.0},
    "enemies": {"health": 0.4, "damage": 0.4},
    "offers": {"gold_rate": 2.0},
}
_PAUSE_AT = 35.0  # seconds into a run: there is something to be seen behind the menu
_DECISIONS = 9000  # ten minutes: a run that is lost begins anew


def tour(
    level: LevelLike = None, seed: int = 0, picture: tuple[int, int] = PICTURE
) -> dict[str, Array]:
    """Pictures uint8 [height, width, 3] of the arena and of each of `MENUS`, as a person sees them.

    The first, `PLAYING`, is from the middle of a run; of a menu that opens several times the last
    is kept. level: LEVEL unless given. seed: of the run. picture: height and width. Raises
    GameError that names the menus which the run did not come to.
    """
    found: dict[str, Array] = {}
    run = _Run(LEVEL if level is None else level, seed, picture)
    try:
        for _ in range(_DECISIONS):
            state = run.state()
            if state.menu != _NO_MENU:
                found[state.menu] = run.picture()
            elif PLAYING not in found and state.time >= _PAUSE_AT:
                found |= run.aside()
            if state.menu == "Victory":
                break
            run.play()
    finally:
        run.close()
    missing = [name for name in (PLAYING, *MENUS) if name not in found]
    if missing:
        raise GameError(
            f"seed {seed}: the run did not come to {', '.join(missing)}: give another seed, or a "
            "level that starts in the main menu, allows pauses and can be won"
        )
    return {name: found[name] for name in (PLAYING, *MENUS)}


class _Run:
    """One arena with a scripted player, who clicks through menus by himself."""

    def __init__(self, level: LevelLike, seed: int, picture: tuple[int, int]) -> None:
        self._game = make_for_person(level, picture)
        self._observation = allocate(self._game.observation_space, 1)
        self._flags = Flags(1)
        self._policy = ScriptedPolicy()
        self._memory = self._policy.reset(1)
        self._game.reset_into(self._observation, [seed])

    def state(self) -> GameState:
        return self._game.game_state(0)

    def picture(self) -> Array:
        return self._game.render(0)

    def play(self) -> None:
        """One decision of the player."""
        rows, self._memory = self._policy.act(self._observation, self._memory, self._flags.is_reset)
        self._game.step_into(rows, self._observation, *self._flags.arrays())

    def aside(self) -> dict[str, Array]:
        """Pictures of this moment, of a pause in it, and of giving up; then the run is as before.

        Without pauses there is only the first.
        """
        found = {PLAYING: self.picture()}
        saved = self._game.clone_state()
        for name, choice in (("Pause", 1), ("Death", 2)):
            for action in (Action(choice=choice), Action()):  # widgets are grey until it is let go
                row = action.row()[None]
                self._game.step_into(row, self._observation, *self._flags.arrays())
            if self.state().menu == name:
                found[name] = self.picture()
        self._game.restore_state(saved)
        self._game.observe_into(self._observation)
        return found

    def close(self) -> None:
        self._game.close()
