#!/usr/bin/env python3
"""Shows how the cognitive server is doing, as `metabonk monitor` does.

    python scripts/monitor_cognitive_server.py --model http://127.0.0.1:30000

The rest is `metabonk monitor --help`.
"""

import sys

from metabonk.cli.main import run

if __name__ == "__main__":
    run(["monitor", *sys.argv[1:]])
