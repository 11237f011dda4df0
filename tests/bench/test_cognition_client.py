"""bench/cognition_client.py: a client's strip is charged for what is its own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from metabonk.bench import cognition_client

from metabonk import machine
from metabonk.cognition.log.rows import Log
from metabonk.errors import LinkError

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)


def test_a_clients_strip_is_charged_for_everything_but_coding_and_looking() -> None:
    asking = cognition_client.Spent(
        cpu=0.5, coding=0.2, drawing=0.05, strips=10, decided=9, by_handle=0
    )
    looking = cognition_client.Spent(cpu=0.15)
    assert cognition_client.per_strip_ms(asking, looking) == pytest.approx(10.0)
    for wrong in (
        (msgspec.structs.replace(asking, decided=0), looking),
        (msgspec.structs.replace(asking, strips=0), looking),
        (asking, msgspec.structs.replace(looking, strips=1)),
    ):
        with pytest.raises(LinkError, match="strips asked about"):
            cognition_client.per_strip_ms(*wrong)


@pytest.mark.parametrize("form", ["JPEGs", pytest.param("shared memory", marks=pytest.mark.long)])
def test_a_real_client_asks_about_nine_pictures(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cognition_client, "ROUND_SECONDS", 0.6)
    meter = cognition_client.Spending(form)
    try:
        assert meter.measure() > 0.0
        assert meter.last.strips > 0
        assert meter.last.coding > 0.0
        assert (meter.last.by_handle == meter.last.strips) == (form == "shared memory")
        assert meter.looking.cpu > 0.0
        shown = f"{meter.last.strips} strips"
        assert shown in meter.note
        if form == "JPEGs":  # where nobody looks, the log keeps them; its first strips are short
            with Log(meter.swarm.journal) as log:
                assert max(len(row.frames) for row in log.rows()) == 9
    finally:
        meter.close()
        meter.close()
