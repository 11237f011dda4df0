#!/usr/bin/env python3
"""Shows how the cognitive server is doing, as `metabonk monitor` does.

    python scripts/monitor_cognitive_server.py --model http://127.0.0.1:30000

The rest is `metabonk monitor --help`.
"""

from __future__ import annotations

import sys

from checkout import use_own_python

if __name__ == "__main__":
    use_own_python()
    from metabonk.cli.main import run

    run(["monitor", *sys.argv[1:]])
