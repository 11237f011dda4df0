"""How an agent talks to its server: the settings of a client, and which of them cannot be.

Knows names, addresses and bounds; does not know where settings come from, nor sockets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from metabonk.cognition.agent.line import Keys
from metabonk.cognition.menus.goal import MOST_CHARACTERS
from metabonk.cognition.protocol import address
from metabonk.cognition.strips.strip import SPACING
from metabonk.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}\Z")


@dataclass(frozen=True)
class ClientSettings:
    """How an agent talks to its server.

    every: seconds between regular requests. patience: seconds from capture until an answer is of no
    use. pictures: send strips; without them states only. quality: of JPEGs. handles: let a server
    of this machine that offers to read pixels from shared memory do so, instead of JPEGs. outcomes:
    report what came of every decision, `outcome_seconds` after its capture. menus: go through
    menus; offers: and choose among a run's offers. goal, menu_goal: of the game and of menus, in
    words, from the user. protocol: v2, or v1 of deployed servers. keys: a server on another machine
    needs them. linger: seconds at the end, at most, for outcomes to be acknowledged: enough for a
    server that was killed to be there again, and no longer than a player who ends would wait.
    """

    every: float = 2.0
    patience: float = 4.0
    pictures: bool = True
    quality: int = 85
    handles: bool = True
    spacing: float = SPACING
    outcomes: bool = True
    outcome_seconds: float = 4.0
    menus: bool = False
    offers: bool = False
    goal: str = ""
    menu_goal: str = ""
    protocol: str = "v2"
    keys: Keys | None = None
    linger: float = 5.0


def check(agent: str, url: str, settings: ClientSettings) -> None:
    """Raises ConfigError for a name, an address or a setting that cannot be used."""
    if not _NAME.match(agent):
        raise ConfigError(
            f"agent: {agent[:80]!r}; wanted 1 to 64 letters, digits or ._:@-, not a sign first"
        )
    if why := address.fault(url):
        raise ConfigError(f"cognition.server: {url!r}: {why}")
    keys = settings.keys
    if keys is not None and {len(keys.server), len(keys.public), len(keys.secret)} != {40}:
        raise ConfigError(
            "cognition.key, cognition.server_key: a client needs a pair of its own and the "
            "server's public key, 40 characters each: `metabonk keys new` makes them"
        )
    if keys is None and not address.is_here(url):
        raise ConfigError(
            f"cognition.server: {url} is on another machine, which takes keys: `metabonk keys new` "
            "makes them, cognition.key and cognition.server_key name the files"
        )
    if settings.protocol not in ("v1", "v2"):
        raise ConfigError(f"cognition.protocol: {settings.protocol!r}; wanted v1 or v2")
    if settings.protocol == "v1" and settings.menus:  # v1 has no word for what is asked
        raise ConfigError(
            "cognition.protocol = v1, menu.enabled: version 1 asks for directives and cannot ask "
            "what to press in a menu: ask a server of version 2 (cognition.protocol=v2), or "
            "unset menu.enabled (METABONK_USE_VLM_MENU=0)"
        )
    for name, goal in (("sima2.goal", settings.goal), ("menu.goal", settings.menu_goal)):
        if len(goal) > MOST_CHARACTERS:  # the broker would refuse every question
            raise ConfigError(
                f"{name}: {len(goal)} characters; wanted at most {MOST_CHARACTERS}: say it shorter"
            )
    if not 1 <= settings.quality <= 100:
        raise ConfigError(f"cognition.quality: {settings.quality}; wanted 1 to 100")
    if not (0.05 <= settings.every <= 3600 and 0.05 <= settings.patience <= 60):
        raise ConfigError(
            f"cognition.every, cognition.patience: {settings.every:g} and {settings.patience:g} s; "
            "wanted 0.05 to 3600 and 0.05 to 60"
        )
