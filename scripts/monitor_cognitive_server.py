#!/usr/bin/env python3
"""Shows how the cognitive server is doing, as `metabonk monitor` does.

    python scripts/monitor_cognitive_server.py --model http://127.0.0.1:30000

Where this Python has no MetaBonk, the checkout's own shows it (`scripts/metabonk`). The rest is
`metabonk monitor --help`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    words = ["monitor", *sys.argv[1:]]
    if importlib.util.find_spec("metabonk") is None:
        own = Path(__file__).resolve().parent / "metabonk"
        os.execv(own, [str(own), *words])
    from metabonk.cli.main import run

    run(words)
