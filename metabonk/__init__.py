"""MetaBonk: train and run agents for fast games.

Importing the package is cheap and needs neither Torch nor a GPU; rooms are imported when used.
"""

from __future__ import annotations

__version__ = "0.1.0"
