"""Every source of experience behind one protocol. Importing this loads no game and no core.

`make(name, num_envs, **settings)` gives a `protocols.BatchGame`; the same games are Gymnasium
environments under the ids of `registration.py`.
"""

from __future__ import annotations

from metabonk.games.make import NAMES, accepts, from_config, in_processes, make

__all__ = ["NAMES", "accepts", "from_config", "in_processes", "make"]
