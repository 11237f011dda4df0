"""What an installed wheel must do in a clean environment: run from a directory that is not the
checkout, with Torch blocked. No test framework, so that it runs with the base install alone."""

from __future__ import annotations

import ctypes
import importlib
import importlib.resources
import pkgutil
import subprocess
import sys
import time
from pathlib import Path

# Playing needs no Torch: every module of these imports without it.
TORCH_FREE = [
    "metabonk.errors",
    "metabonk.files",
    "metabonk.environment",
    "metabonk.schema",
    "metabonk.config",
    "metabonk.machine",
    "metabonk.spaces",
    "metabonk.records",
    "metabonk.observations",
    "metabonk.transports",
    "metabonk.protocols",
    "metabonk.metrics",
    "metabonk.artifact",
    "metabonk.stage",
    "metabonk.ops.formats",
    "metabonk.ops.qweight",
    "metabonk.games",
    "metabonk.link",
    "metabonk.data",
    "metabonk.play",
    "metabonk.cognition",
    "metabonk.cli",
]
# Compiling a policy needs it, running one does not; so do datasets for it.
NEEDS_TORCH = [
    "metabonk.data.torch_dataset",
    *(
        f"metabonk.play.compiler.{name}"
        for name in (
            "tracing",
            "lowering",
            "elements",
            "activations",
            "constants",
            "axes",
            "layers",
            "motors",
            "scans",
            "worlds",
            "dreamers",
            "assembly",
        )
    ),
]


class Blocked:
    """An import hook that refuses a package as if it were not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self.package or name.startswith(self.package + "."):
            raise ModuleNotFoundError(f"{name} is blocked in this test", name=name)


def modules_of(name: str) -> list[str]:
    module = importlib.import_module(name)
    found = [name]
    if hasattr(module, "__path__"):
        found += [info.name for info in pkgutil.walk_packages(module.__path__, name + ".")]
    return found


# Not code, and so easily left out of a wheel.
DATA = [
    ("metabonk.bench", "gates.toml"),
    ("metabonk.games", "level.schema.json"),
    ("metabonk.games", "levels/hard.json"),
    ("metabonk.kernels", "configs/sm_90.json"),
]


def data_files_are_there() -> None:
    from metabonk.games import level

    missing = [
        f"{package}/{name}"
        for package, name in DATA
        if not importlib.resources.files(package).joinpath(name).is_file()
    ]
    assert not missing, f"the wheel lacks {missing}"
    assert level.load("hard").time.duration > 0


def lacks_torch(module: str) -> bool:
    """Whether a module cannot be imported because torch is blocked."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        return (error.name or "").startswith("torch")
    return False


def import_without_torch() -> int:
    sys.meta_path.insert(0, Blocked("torch"))
    count = 0
    for name in TORCH_FREE:
        for module in modules_of(name):
            if module not in NEEDS_TORCH:
                importlib.import_module(module)
                count += 1
    free = [module for module in NEEDS_TORCH if not lacks_torch(module)]
    assert not free, f"they import without torch, take them from NEEDS_TORCH: {free}"
    assert "torch" not in sys.modules
    return count


def play_arena() -> float:
    import gymnasium
    import numpy as np

    env = gymnasium.make("metabonk/Arena-v0")
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    env.action_space.seed(1)
    total = 0.0
    for _ in range(200):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert all(np.isfinite(v).all() for v in observation.values() if v.dtype.kind == "f")
        total += float(reward)
        if terminated or truncated:
            env.reset()
    env.close()
    return total


def load_policy_library() -> None:
    from metabonk.play import native

    assert (native.include_dir() / native.HEADER).is_file()
    calls = ctypes.CDLL(str(native.library_dir() / native.LIBRARY))
    error = ctypes.create_string_buffer(512)
    policy = ctypes.c_void_p()
    size = ctypes.c_size_t(len(error))
    assert calls.metabonk_policy_load(b"nowhere", ctypes.byref(policy), error, size) != 0
    assert b"nowhere" in error.value
    assert not policy.value


def main() -> None:
    import metabonk

    here = Path(metabonk.__file__).resolve()
    assert "site-packages" in here.parts, f"{here} is not an installed wheel"
    count = import_without_torch()
    data_files_are_there()
    play_arena()
    load_policy_library()
    started = time.perf_counter()
    command = [str(Path(sys.executable).parent / "metabonk"), "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "train" in shown
    print(f"{count} modules without torch, the arena plays, help in "
          f"{time.perf_counter() - started:.2f} s: {here.parent}")  # fmt: skip


if __name__ == "__main__":
    main()
