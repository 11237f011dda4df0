"""MetaBonk: train and run agents for fast games.

Importing the package is cheap and needs neither Torch nor a GPU; rooms are imported when used. It
registers our environments in Gymnasium (metabonk/games/registration.py).
"""

from __future__ import annotations

from metabonk.games.registration import register_with_gymnasium

__version__ = "0.1.0"

register_with_gymnasium()
