"""What holds in every test, whatever the machine is busy with.

Torch computes on one thread: small networks are quickest so, several test processes share the
machine, and sums round otherwise over several threads. Runs choose for themselves, and leave what
they chose. Hypothesis gives no example a time: what is slow is looked at in bench/.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
for _heard, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGTERM, signal.SIG_DFL),
):
    if signal.getsignal(_heard) is signal.SIG_IGN:
        signal.signal(_heard, _handler)


@pytest.fixture(autouse=True)
def _one_thread_again() -> Iterator[None]:
    yield
    torch.set_num_threads(1)
