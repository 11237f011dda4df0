"""cognition/agent/line.py: how a server that was away is looked for."""

from __future__ import annotations

import zmq

from metabonk.cognition.agent.line import RECONNECT_MOST_MS, RECONNECT_MS, Line


def test_a_server_that_is_away_is_looked_for_ten_times_a_second() -> None:
    """ZeroMQ doubles its pauses up to the most; a recovery waits for one of them."""
    assert RECONNECT_MS <= RECONNECT_MOST_MS <= 100
    with Line("tcp://127.0.0.1:9") as line:
        for _ in range(2):
            assert line._socket.get(zmq.RECONNECT_IVL) == RECONNECT_MS
            assert line._socket.get(zmq.RECONNECT_IVL_MAX) == RECONNECT_MOST_MS
            assert line._socket.get(zmq.IMMEDIATE) == 1, "nothing old is sent to who comes back"
            line.renew()
