"""What the tests of games behind links share: a hosted game in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from metabonk.games.host import Host, Pace
from metabonk.games.host_bonklink import BonkLinkLink, Offer
from metabonk.games.hosted import make_hosted

SIZE = (36, 64)
# Short, crowded and generous: runs end in both ways, and levels go up.
CROWDED = {
    "time": {"duration": 6.0, "max_ticks": 0, "boss_at": -1.0},  # menus may stay open
    "enemies": {"at_start": 60, "damage": 8.0},
    "offers": {"xp_rate": 2.0},
}


@contextmanager
def hosting(
    game: str = "arena",
    *,
    level: Any = CROWDED,
    hz: float = 15.0,
    seed: int = 5,
    restart: str = "auto",
    pace: Pace | None = None,
    **offer: Any,
) -> Iterator[tuple[Host, int]]:
    """A game on BonkLink and the port that it listens on; tick-locked unless a pace is given."""
    pace = pace or Pace(locked=True)
    size = offer.pop("size", SIZE)
    link = BonkLinkLink(Offer(size=size, rate=hz, locked=pace.locked, **offer))
    host = Host(make_hosted(game, level, size, hz, restart), link, pace, seed)
    over = threading.Event()
    thread = threading.Thread(target=host.run, args=(over.is_set,))
    thread.start()
    try:
        port = link.address.rpartition(":")[2]
        yield host, int(port) if port.isdigit() else 0
    finally:
        over.set()
        thread.join()
        link.close()
        host.game.close()
