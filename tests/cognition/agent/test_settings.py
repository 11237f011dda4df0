"""cognition/agent/settings.py: addresses that cannot be are told before anybody plays."""

from __future__ import annotations

import pytest

from metabonk.cognition.agent.client import Client
from metabonk.cognition.agent.line import Keys
from metabonk.cognition.agent.settings import ClientSettings, check
from metabonk.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("tcp://localhost:5555/", "wanted tcp://HOST:PORT or ipc://PATH"),
        ("tcp://localhost:abc", "wanted tcp://HOST:PORT or ipc://PATH"),
        ("tcp://localhost:99999", "port 99999 is none, there are 1 to 65535"),
        ("tcp://localhost:0", "port 0 is none"),
        ("inproc://x", "wanted tcp://HOST:PORT or ipc://PATH"),
        (f"ipc:///tmp/{'a' * 120}", "125 bytes of path; wanted at most 107: take a shorter one"),
        ("tcp://10.0.0.7", "on another machine, which takes keys: `metabonk keys new`"),
    ],
)
def test_an_address_that_cannot_be_is_refused_by_its_setting(url: str, told: str) -> None:
    """ZeroMQ refused some of them in the client's thread, while the game was played, and waited for
    ever at the others."""
    with pytest.raises(ConfigError) as error:
        Client("omega-0", url)
    assert str(error.value).startswith("cognition.server: ")
    assert told in str(error.value)


def test_every_address_of_this_machine_takes_no_keys() -> None:
    for url in ("tcp://localhost", "tcp://127.0.0.2:5555", "tcp://[::1]", "ipc:///tmp/a b"):
        check("omega-0", url, ClientSettings())
    keys = Keys("s" * 40, "p" * 40, "k" * 40)
    check("omega-0", "tcp://server.example.org", ClientSettings(keys=keys))
