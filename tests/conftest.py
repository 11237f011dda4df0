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
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for _unheard in (signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(_unheard) is signal.SIG_IGN:
        signal.signal(_unheard, lambda *_: None)  # goes on as before; who is started hears it


@pytest.fixture(autouse=True)
def _one_thread_again() -> Iterator[None]:
    yield
    torch.set_num_threads(1)
