"""A server of which a part ended: it says so and ends, instead of looking as if it served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from peers import HANG, Scripted

from metabonk import machine
from metabonk.cli import main
from metabonk.cognition.broker.broker import Broker
from metabonk.cognition.broker.door import Door
from metabonk.cognition.broker.serving import serving
from metabonk.errors import LinkError
from metabonk.schema import BrokerConfig


def test_who_cannot_listen_any_more_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Memory is full, connections are dropped, and meanwhile another took the address."""

    def taken(door: Door) -> None:
        raise LinkError("tcp://127.0.0.1:5555: address already in use")

    monkeypatch.setattr(Door, "reopen", taken)
    monkeypatch.setattr(machine, "own_bytes", lambda: 1 << 62)
    words = ["serve", "cognitive", "--bind", "tcp://127.0.0.1:*", "--http", "", "--directory"]
    with pytest.raises(SystemExit) as ended:
        main.run([*words, str(tmp_path), "--seconds", f"{HANG}"])
    assert ended.value.code not in (0, None)
    assert "address already in use" in " ".join(capsys.readouterr().err.split())


def test_a_fault_in_what_ends_late_requests_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    config = BrokerConfig(
        bind="tcp://127.0.0.1:*", http="", directory=str(tmp_path), frames_mb=0, drain=0.0
    )

    def broken(broker: Broker) -> None:
        raise ZeroDivisionError("a fault of ours")

    async def go() -> None:
        async with serving(Scripted(), config) as running:
            running.check()
            assert running.health().status == 200
            monkeypatch.setattr(Broker, "tick", broken)
            while running.health().status == 200:
                await asyncio.sleep(0.01)
            told.append(running.health().text)
            with pytest.raises(ZeroDivisionError):
                running.check()

    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        asyncio.run(asyncio.wait_for(go(), HANG))
    assert told == ["what ends late requests ended\n"]
