"""libmetabonk_policy in other people's processes: a C and a C# program decide as Python does."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from networks import NETWORKS, arena_pilot, observations

from metabonk import _core, games
from metabonk.config import load
from metabonk.errors import ConfigError
from metabonk.games.batch import allocate
from metabonk.play import native
from metabonk.play.compiled import OWN, CompiledPolicy, compile
from metabonk.protocols import Array

HERE = Path(__file__).parent
BATCH, STEPS, SWAP_AT = 3, 40, 25
CAPS = ("METABONK_CPU", "METABONK_NATIVE_CPU")
DETECTED = _core.support.detected_tier()
CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def run(
    command: list[str | Path], directory: Path | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Runs a program that finds the library; what it says is kept. Where a cap of the processor is
    among the settings, it is the only one."""
    had = {k: v for k, v in os.environ.items() if not (k in CAPS and settings.keys() & set(CAPS))}
    environment = {**had, "LD_LIBRARY_PATH": str(native.library_dir()), **settings}
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=environment,
        cwd=directory,
    )


@pytest.fixture(scope="module")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if CC is None:
        pytest.skip("needs a C compiler")
    program = tmp_path_factory.mktemp("c") / "policy_program"
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O1"]
    where = [f"-I{native.include_dir()}", f"-L{native.library_dir()}", "-lmetabonk_policy"]
    made = run([CC, *strict, HERE / "policy_program.c", "-o", program, *where])
    assert made.returncode == 0, made.stderr
    return program


@pytest.fixture(scope="module")
def cs_program(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """How to start the C# program."""
    compiler, runtime = shutil.which("mcs"), shutil.which("mono")
    if compiler is None or runtime is None:
        pytest.skip("needs mono: apt-get install mono-mcs mono-runtime")
    program = tmp_path_factory.mktemp("cs") / "policy_program.exe"
    made = run([compiler, "-warnaserror", f"-out:{program}", HERE / "PolicyProgram.cs"])
    assert made.returncode == 0, made.stdout + made.stderr
    return [runtime, program]


def programs(request: pytest.FixtureRequest, language: str) -> list[str | Path]:
    """How to start the program in that language."""
    fixture = {"c": "c_program", "c_sharp": "cs_program"}[language]
    program = request.getfixturevalue(fixture)
    return program if isinstance(program, list) else [program]


class Recording:
    """An arena played by a policy, as the programs read it, and what the policy decided.

    Half of the games begin anew now and then; at SWAP_AT the other policy's weights are taken.
    """

    def __init__(self, folder: Path) -> None:
        self.policy = compile(arena_pilot(1), batch=BATCH, seed=11)
        self.other = compile(arena_pilot(2), batch=BATCH, seed=12)
        self.policy.save(folder / "policy")
        self.other.save(folder / "other")
        self.folder = folder
        self.actions = np.stack([row.copy() for row in self._play(folder / "record")])

    def _play(self, record: Path) -> Iterator[Array]:
        game = games.make("arena", BATCH)
        seen = allocate(game.observation_space, BATCH)
        reward, flags = np.zeros(BATCH, np.float32), np.zeros((3, BATCH), np.bool_)
        game.reset_into(seen, range(BATCH))
        with record.open("wb") as file:
            for step in range(STEPS):
                mask = np.arange(BATCH) % 2 == step % 7
                file.write(mask.tobytes())
                for name in self.policy.inputs:
                    if name not in OWN:
                        file.write(seen[name].tobytes())
                if step == SWAP_AT:
                    self.policy.swap(self.other)
                self.policy.reset(mask)
                action = self.policy.step(seen)
                yield action
                game.step_into(action, seen, reward, *flags)
        game.close()

    def arguments(self, actions: Path, other: str = "other") -> list[str | Path]:
        folder = self.folder
        return [folder / "policy", folder / "record", actions, folder / other, str(SWAP_AT)]

    def decided(self, actions: Path) -> Array:
        return np.fromfile(actions, np.float32).reshape(STEPS, BATCH, -1)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return Recording(tmp_path_factory.mktemp("recording"))


def test_a_c_program_decides_bit_for_bit_as_python(
    c_program: Path, recording: Recording, tmp_path: Path
) -> None:
    done = run([c_program, *recording.arguments(tmp_path / "actions")])
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{STEPS} steps, {recording.policy.tier}\n"
    decided = recording.decided(tmp_path / "actions")
    assert decided.tobytes() == recording.actions.tobytes()
    # The control: without the swap the programs part where it would have been.
    kept = run([c_program, *recording.arguments(tmp_path / "kept", "policy")])
    assert kept.returncode == 0, kept.stderr
    same = (recording.decided(tmp_path / "kept") == decided).all((1, 2))
    assert same[:SWAP_AT].all()
    assert not same[SWAP_AT:].all()


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    if CC is None:
        pytest.skip("needs a C compiler")
    text = (HERE.parent.parent / "docs" / "plugins.md").read_text("utf-8")
    (example,) = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
    (tmp_path / "plugin.c").write_text(example)
    where = [f"-I{native.include_dir()}", f"-L{native.library_dir()}", "-lmetabonk_policy"]
    made = run([CC, "-Werror", tmp_path / "plugin.c", "-o", tmp_path / "plugin", *where])
    assert made.returncode == 0, made.stderr
    alone = run([tmp_path / "plugin"], directory=tmp_path)
    assert "policy: file: there is none" in alone.stdout
    compile(NETWORKS["mlp"](), "int8").save(tmp_path / "policy")
    done = run([tmp_path / "plugin"], directory=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_c_sharp_program_decides_bit_for_bit_as_python(
    cs_program: list[str | Path], recording: Recording, tmp_path: Path
) -> None:
    done = run([*cs_program, *recording.arguments(tmp_path / "actions")])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"{STEPS} steps, {recording.policy.tier}\n"
    assert recording.decided(tmp_path / "actions").tobytes() == recording.actions.tobytes()


@pytest.mark.parametrize("language", ["c", "c_sharp"])
def test_programs_are_told_what_is_wrong(
    language: str, request: pytest.FixtureRequest, recording: Recording, tmp_path: Path
) -> None:
    command = programs(request, language)
    arguments = recording.arguments(tmp_path / "actions")
    done = run([*command, tmp_path / "none", *arguments[1:]])
    assert done.returncode == 1
    assert str(tmp_path / "none") in done.stderr
    assert "check the path" in done.stderr
    compile(arena_pilot(1), batch=BATCH + 1).save(tmp_path / "wider")
    done = run([*command, *arguments[:3], tmp_path / "wider", str(SWAP_AT)])
    assert done.returncode == 1
    assert "wider" in done.stderr
    assert "another program" in done.stderr


BY_PYTHON = """
import sys
sys.modules["torch"] = None
import numpy as np
from metabonk.play.compiled import OWN, load
path, record, actions, other, at = sys.argv[1:]
policy = load(path)
with open(record, "rb") as file, open(actions, "wb") as out:
    while mask := file.read(policy.terms.batch):
        seen = {
            name: np.fromfile(file, dtype, int(np.prod(sizes))).reshape(sizes)
            for name, (dtype, sizes) in policy.inputs.items()
            if name not in OWN
        }
        if policy.counter == int(at):
            policy.swap(load(other))
        policy.reset(np.frombuffer(mask, np.bool_))
        policy.step(seen).tofile(out)
print(policy.tier)
"""


@pytest.mark.parametrize("tier", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("language", ["c", "c_sharp"])
def test_the_library_heeds_the_cap_of_the_processor(
    language: str,
    tier: str,
    request: pytest.FixtureRequest,
    recording: Recording,
    tmp_path: Path,
) -> None:
    command = programs(request, language)
    done = run([*command, *recording.arguments(tmp_path / "theirs")], METABONK_CPU=tier)
    assert done.returncode == 0, done.stderr
    wanted = run(
        [sys.executable, "-c", BY_PYTHON, *recording.arguments(tmp_path / "python")],
        METABONK_CPU=tier,
    )
    assert wanted.returncode == 0, wanted.stderr
    # Bits alone would not tell: what few loops sum up may round alike on all tiers.
    assert done.stdout == f"{STEPS} steps, {wanted.stdout}"
    assert (wanted.stdout == "portable\n") == (tier == "baseline" or DETECTED == "baseline")
    assert (tmp_path / "theirs").read_bytes() == (tmp_path / "python").read_bytes()


@pytest.mark.parametrize("language", ["c", "c_sharp"])
@pytest.mark.parametrize(
    "variables",
    [
        {"METABONK_CPU": "avx3"},
        {"METABONK_NATIVE_CPU": "SSE"},
        {"METABONK_CPU": ""},
        {"METABONK_CPU": "avx2", "METABONK_NATIVE_CPU": "baseline"},
    ],
)
def test_a_cap_that_is_none_is_refused_in_pythons_words(
    variables: dict[str, str], language: str, request: pytest.FixtureRequest, recording: Recording
) -> None:
    command = programs(request, language)
    done = run([*command, *recording.arguments(Path(os.devnull))], **variables)
    with pytest.raises(ConfigError) as told:
        load(environ=variables)
    assert done.returncode == 1
    assert done.stderr.strip().removeprefix("load: ") == str(told.value)


@pytest.mark.parametrize("name", CAPS)
def test_either_name_of_the_cap_counts(
    name: str, c_program: Path, recording: Recording, tmp_path: Path
) -> None:
    arguments = recording.arguments(tmp_path / "actions")
    wide = {"baseline": "portable"}.get(DETECTED, DETECTED)
    for settings, tier in (
        ({name: "baseline"}, "portable"),
        (dict.fromkeys(CAPS, "baseline"), "portable"),
        ({name: "auto"}, wide),
        ({name: "bf16"}, wide),
    ):
        assert run([c_program, *arguments], **settings).stdout == f"{STEPS} steps, {tier}\n"


class Library:
    """The library in this process, through ctypes: every network and precision, not the arena's."""

    def __init__(self) -> None:
        self.calls = ctypes.CDLL(str(native.library_dir() / native.LIBRARY))
        self.calls.metabonk_policy_error.restype = ctypes.c_char_p

    def decide(self, path: Path, policy: CompiledPolicy, seen: list[dict[str, Array]]) -> Array:
        """The actions [T, B, columns] of a saved policy."""
        handle, error = ctypes.c_void_p(), ctypes.create_string_buffer(512)
        status = self.calls.metabonk_policy_load(
            os.fsencode(path), ctypes.byref(handle), error, ctypes.c_size_t(512)
        )
        assert status == 0, error.value
        action = np.zeros((policy.terms.batch, policy.terms.columns), np.float32)
        rows = []
        for observation in seen:
            inputs = [None if n in OWN else observation[n].ctypes.data for n in policy.inputs]
            given = (ctypes.c_void_p * len(inputs))(*inputs)
            status = self.calls.metabonk_policy_step(
                handle, given, len(inputs), ctypes.c_void_p(action.ctypes.data)
            )
            assert status == 0, self.calls.metabonk_policy_error(handle)
            rows.append(action.copy())
        self.calls.metabonk_policy_free(handle)
        return np.stack(rows)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "fp8", "nvfp4"])
@pytest.mark.parametrize("name", ["mlp", "conv", "cells", "pilot"])
def test_every_network_and_precision_decides_bit_for_bit(
    name: str, precision: str, tmp_path: Path
) -> None:
    model = NETWORKS[name]()
    policy = compile(model, precision, batch=2, seed=5)  # type: ignore[arg-type]
    policy.save(tmp_path / "policy")
    seen = observations(model, 2, 6)
    wanted = np.stack([policy.step(one).copy() for one in seen])
    assert Library().decide(tmp_path / "policy", policy, seen).tobytes() == wanted.tobytes()


def test_the_library_shows_nothing_but_its_functions() -> None:
    if (nm := shutil.which("nm")) is None:
        pytest.skip("needs nm")
    listed = run([nm, "-D", "--defined-only", native.library_dir() / native.LIBRARY])
    names = {line.split()[-1] for line in listed.stdout.splitlines()}
    header = (native.include_dir() / native.HEADER).read_text()
    assert names
    assert all(name.startswith("metabonk_policy_") for name in names)
    assert all(f"{name}(" in header for name in names)


def test_the_header_is_the_repositorys() -> None:
    header = HERE.parent.parent / "csrc" / "include" / "metabonk" / "policy.h"
    assert (native.include_dir() / native.HEADER).read_text() == header.read_text()


def test_the_directories_are_printed_for_compilers() -> None:
    for name, wanted in (("include", native.include_dir()), ("lib", native.library_dir())):
        shown = run([sys.executable, "-m", "metabonk.play.native", name])
        assert shown.stdout == f"{wanted}\n"
    assert run([sys.executable, "-m", "metabonk.play.native", "bin"]).returncode != 0


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "LIBRARY", "libother.so")
    with pytest.raises(FileNotFoundError, match=r"libother\.so is missing: install"):
        native.library_dir()


def test_a_container_written_by_safetensors_keeps_the_rules(tmp_path: Path) -> None:
    """What the strict reader demands of containers is what the official writer does."""
    policy = compile(NETWORKS["mlp"](), "int8")
    policy.save(tmp_path / "policy")
    data = (tmp_path / "policy" / "policy.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert length % 8 == 0
    assert data[8:9] == b"{"
