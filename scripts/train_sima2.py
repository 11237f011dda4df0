#!/usr/bin/env python3
"""Trains what the dual-system controller learns from recordings, as `metabonk pretrain` does.

    python scripts/train_sima2.py --phase 4

Phase 4 is the world model and its dreams, from the rollouts in METABONK_VIDEO_ROLLOUTS_PT_DIR or
rollouts/video_rollouts. The rest is `metabonk pretrain dream --help`.
"""

from __future__ import annotations

from checkout import use_own_python

if __name__ == "__main__":
    use_own_python()
    from metabonk.cli.main import run
    from metabonk.cli.pretrain import of_phase

    run(meant=of_phase)
