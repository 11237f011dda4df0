"""Clocks that differ: a game with another monotonic clock, as on another machine or under Wine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

import pytest
from ends import FAST, HANG, until

from metabonk.link.bonklink import Client

AHEAD = 50_000  # seconds that the game's clock is ahead of ours
NAMESPACE = ["unshare", "-r", "-T", "--monotonic", str(AHEAD), "--fork", "--kill-child"]
GAME = """
import sys, time
from metabonk.link.bonklink import Server
from metabonk.records import GameState
with Server(sys.argv[1], ping_every=0.01) as server:
    while True:
        server.poll(0.005)
        server.send(GameState(), capture_ns=time.monotonic_ns())
"""


def namespaces() -> bool:
    if shutil.which("unshare") is None:
        return False
    read = [*NAMESPACE, sys.executable, "-c", "import time; print(time.monotonic())"]
    found = subprocess.run(read, capture_output=True, text=True, timeout=HANG)
    return found.returncode == 0 and float(found.stdout) > AHEAD


@pytest.mark.parametrize("apart", [True, False], ids=["another clock", "one clock"])
def test_the_clock_of_the_other_end_is_told_and_not_assumed(apart, tmp_path):
    if apart and not namespaces():
        pytest.skip("needs `unshare` and time namespaces (Linux 5.6)")
    address = f"unix://{tmp_path}/game"
    command = [*(NAMESPACE if apart else []), sys.executable, "-c", GAME, address]
    game = subprocess.Popen(command)
    try:
        with Client(address, ping_every=0.01, **FAST) as client:
            until(lambda: client.counters()["pongs"] >= 8, client)
            offset = AHEAD * 10**9 if apart else 0
            reading = client.clock()
            assert reading.known
            assert abs(reading.offset - offset) <= reading.uncertainty
            assert reading.uncertainty < 10**9
            deadline = time.monotonic() + HANG
            while (tick := client.poll(0.1)) is None:
                assert time.monotonic() < deadline
            reading = client.clock()
            captured = reading.to_ours(tick.capture_ns)
            # On our clock it was captured before it arrived, as far as can be known, and after the
            # game had started.
            assert captured - reading.uncertainty <= tick.received_ns
            assert captured + reading.uncertainty >= tick.received_ns - HANG * 1e9
            assert (tick.capture_ns > tick.received_ns) == apart  # taken as they are they mislead
    finally:
        game.kill()
        game.wait()
