"""What decides, beside seed and settings, how a run's sums round: threads, kernels, instructions.

Knows torch, the native core and which of this can be chosen while a process runs. A checkpoint
keeps `here()`; a run that goes on takes it up again with `adopt`, and what this machine or its user
does not allow is told in words by `differences`, so that nothing differs silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

import metabonk
from metabonk import _core
from metabonk.config import cap_cpu, load
from metabonk.ops import dense

TIERS = ("baseline", "avx2", "avx512")
LEVELS = (*TIERS, "vnni", "bf16", "amx")  # of native.cpu
NAMES = {
    "torch_threads": "threads of the network",
    "tier": "instruction set of the native core",
    "dense": "kernels of dense layers",
    "acting": "how rollouts are acted",
    "torch": "version of torch",
    "torch_cpu": "instruction set of torch",
    "metabonk": "version of metabonk",
}
REMEDIES = {
    "torch_threads": "set run.torch_threads to the former for the same rounding",
    "tier": "set native.cpu to auto on a machine that has the former for the same rounding",
    "acting": "set run.acting to auto or to the former for the same rounding",
    "torch": "install the former for the same rounding",
    "torch_cpu": "on a processor that has the former, start with ATEN_CPU_CAPABILITY set to it",
    "metabonk": "install the former for the same rounding",
}


def here(acting: str = "torch") -> dict[str, Any]:
    """What is in force now, by the names of `NAMES`; plain JSON data. acting: see learn.acting."""
    backend = dense.backends()[0]
    return {
        "torch_threads": torch.get_num_threads(),
        "tier": str(_core.support.active_tier()),
        "dense": f"native {_core.nn.dense_kernels()}" if backend == "native" else backend,
        "acting": acting,
        "torch": str(torch.__version__),
        "torch_cpu": torch.backends.cpu.get_cpu_capability().lower(),
        "metabonk": metabonk.__version__,
    }


def adopt(saved: Mapping[str, Any], *, threads: int = 0, cpu: str = "auto") -> None:
    """Puts in force what `saved`, an earlier `here()`, says of threads and instructions.

    threads, cpu: what the user asks for instead (run.torch_threads, native.cpu); 0 and `auto` for
    nothing.
    """
    torch.set_num_threads(threads or int(saved["torch_threads"]))
    highest = LEVELS[-1] if cpu == "auto" else cpu
    tier = saved.get("tier")
    if tier not in TIERS or tier == TIERS[-1]:  # with whatever extensions there are
        tier = LEVELS[-1]
    # As a setting of this process, so that games made later keep to it too.
    cap_cpu(load(environ={}, flags={"native.cpu": min(tier, highest, key=LEVELS.index)}))


def differences(saved: Mapping[str, Any], acting: str = "torch") -> list[str]:
    """What is otherwise now than in `saved`, each a sentence with its remedy."""
    now = here(acting)
    # Checkpoints that were written before a name was kept say nothing about it.
    differs = [name for name in NAMES if name in saved and saved[name] != now[name]]
    return [_sentence(name, saved[name], now[name]) for name in differs]


def _sentence(name: str, was: Any, now: Any) -> str:
    remedy = f" ({REMEDIES[name]})" if name in REMEDIES else ""
    return f"{NAMES[name]}: was {was}, now {now}{remedy}"
