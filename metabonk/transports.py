"""Which transport carries which field of the records, and under which name.

One row per field of GameState and Action: its group, where BonkLink v1 and v2 have it, the column
of the `.npz` recordings, and the place in ResearchPlugin's shared memory. What a transport lacks is
None; its mask (`CARRIES`) has the groups that it carries; readers that make a GameState set
`GameState.fields` to it.
Knows names only; the codecs are in link.

v1 is what deployed plugins speak. v2 sends the v1 state followed by the tagged trailer `MBX2`, and
actions as one row of 12 float32. Recordings hold frames and actions, no states, and so does
ResearchPlugin's shared memory.
"""

from __future__ import annotations

from typing import NamedTuple

from metabonk.records import FieldGroup as G

TRANSPORTS = ("bonklink_v1", "bonklink_v2", "npz", "research_shm")


class Carried(NamedTuple):
    """Where one field is on each transport; None where it is not carried."""

    group: G | None  # None: always there (the reader computes it), or a field of Action
    bonklink_v1: str | None
    bonklink_v2: str | None
    npz: str | None = None
    research_shm: str | None = None

    def on(self, transport: str) -> str | None:
        """Raises AttributeError for a transport that is not one of TRANSPORTS."""
        place: str | None = getattr(self, transport)
        return place


def _v1(group: G, name: str) -> Carried:
    return Carried(group, name, name)


def _v2(group: G, name: str) -> Carried:
    return Carried(group, None, f"MBX2.{name}")


# Groups that each transport carries.
CARRIES: dict[str, G] = {
    "bonklink_v1": G.PLAYER | G.ENTITIES | G.MENU | G.OFFERS,
    "bonklink_v2": G.EVERYTHING,
    "npz": G(0),
    "research_shm": G(0),
}

STATE_FIELDS: dict[str, Carried] = {
    "fields": Carried(
        None, "the mask of v1", "the mask of v2", "the mask of npz", "the mask of research_shm"
    ),
    # Of states that overtook others it is the difference of times in both versions.
    "dt": Carried(
        None, "difference of gameTime", "MBX2.dt", "difference of frames", "difference of game time"
    ),
    "time": Carried(G.PLAYER, "gameTime", "MBX2.time"),  # float32 and float64
    "position": _v1(G.PLAYER, "playerPosition"),
    "velocity": _v1(G.PLAYER, "playerVelocity"),
    "health": _v1(G.PLAYER, "playerHealth"),
    "max_health": _v1(G.PLAYER, "playerMaxHealth"),
    "playing": _v1(G.PLAYER, "isPlaying"),
    "paused": _v1(G.PLAYER, "isPaused"),
    "yaw": _v2(G.YAW, "yaw"),
    "grounded": _v2(G.YAW, "grounded"),
    "shield": _v2(G.PROGRESS, "shield"),
    "xp": _v2(G.PROGRESS, "xp"),
    "xp_next": _v2(G.PROGRESS, "xp_next"),
    "level": _v2(G.PROGRESS, "level"),
    "gold": _v2(G.PROGRESS, "gold"),
    "kills": _v2(G.PROGRESS, "kills"),
    "score": _v2(G.PROGRESS, "score"),
    # v1 has no ids: its reader matches enemies between states by nearness.
    "entities.id": Carried(G.ENTITIES, "matched by position", "MBX2.enemy.id"),
    "entities.position": _v1(G.ENTITIES, "enemy.x, y, z"),
    "entities.health": _v1(G.ENTITIES, "enemy.health"),
    "entities.kind": _v2(G.ENTITY_DETAIL, "enemy.kind"),
    "entities.flags": _v2(G.ENTITY_DETAIL, "enemy.flags"),
    "entities.velocity": _v2(G.ENTITY_DETAIL, "enemy.velocity"),
    "entities.max_health": _v2(G.ENTITY_DETAIL, "enemy.max_health"),
    "pickups.id": _v2(G.PICKUPS, "pickup.id"),
    "pickups.kind": _v2(G.PICKUPS, "pickup.kind"),
    "pickups.position": _v2(G.PICKUPS, "pickup.position"),
    "pickups.value": _v2(G.PICKUPS, "pickup.value"),
    "menu": _v1(G.MENU, "currentMenu"),
    "widgets.x0": _v2(G.WIDGETS, "widget.x0"),
    "widgets.y0": _v2(G.WIDGETS, "widget.y0"),
    "widgets.x1": _v2(G.WIDGETS, "widget.x1"),
    "widgets.y1": _v2(G.WIDGETS, "widget.y1"),
    "widgets.enabled": _v2(G.WIDGETS, "widget.enabled"),
    "widgets.offer": _v2(G.WIDGETS, "widget.offer"),
    "widgets.text": _v2(G.WIDGETS, "widget.text"),
    "offers.text": _v1(G.OFFERS, "levelUpOptions"),
    "offers.kind": _v2(G.OFFER_DETAIL, "offer.kind"),
    "offers.rarity": _v2(G.OFFER_DETAIL, "offer.rarity"),
    "offers.item": _v2(G.OFFER_DETAIL, "offer.item"),
    "offers.level": _v2(G.OFFER_DETAIL, "offer.level"),
    "offers.changes.stat": _v2(G.OFFER_DETAIL, "offer.change.stat"),
    "offers.changes.multiply": _v2(G.OFFER_DETAIL, "offer.change.multiply"),
    "offers.changes.amount": _v2(G.OFFER_DETAIL, "offer.change.amount"),
    "run_seed": _v2(G.RUN, "run_seed"),
    "tier": _v2(G.RUN, "tier"),
    "character": _v2(G.RUN, "character"),
    "weapons.kind": _v2(G.LOADOUT, "weapon.kind"),
    "weapons.level": _v2(G.LOADOUT, "weapon.level"),
    "tomes.kind": _v2(G.LOADOUT, "tome.kind"),
    "tomes.level": _v2(G.LOADOUT, "tome.level"),
}

# v1 and recordings choose by clicking: a choice becomes a click at its widget's middle. v1's click
# is in capture pixels from the bottom left. In menus ResearchPlugin's four buttons select the first
# four widgets.
ACTION_FIELDS: dict[str, Carried] = {
    "move": Carried(None, "moveX, moveY", "row[0:2]", "actions[0:2]", "action[0:2]"),
    "look": Carried(None, "aimX, aimY", "row[2:4]", "actions[2:4]"),
    "jump": Carried(None, None, "row[4]", None, "action[2]"),
    "slide": Carried(None, None, "row[5]", None, "action[3]"),
    "interact": Carried(None, "interact", "row[6]", "actions[6]", "action[4]"),
    "fire": Carried(None, "fire", "row[7]", "actions[4]", "action[5]"),
    "ability": Carried(None, "ability", "row[8]", "actions[5]"),
    "choice": Carried(None, None, "row[9]", None, "action[2:6], the first four"),
    "click": Carried(None, "uiClick, clickX, clickY", "row[10:12]", "actions[7], actions[8:10]"),
}
