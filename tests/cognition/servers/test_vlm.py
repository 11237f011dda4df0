"""vlm.py: settings as command lines, keys and logs of engines, what is missing."""

from __future__ import annotations

import asyncio
import itertools
import os
import shlex
import socket
from pathlib import Path

import pytest
from watched import QUICK, Watched, free_port, run

from metabonk.cognition.backends.httpclient import HttpClient
from metabonk.cognition.servers import vlm
from metabonk.cognition.servers.supervise import Supervisor
from metabonk.cognition.servers.vlm import Command
from metabonk.errors import BackendError, ConfigError
from metabonk.schema import VlmConfig


def engine(folder: Path, version: str = "0.5.21") -> VlmConfig:
    """Settings whose environment says that it has this version of the engine, or none."""
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    says = f"echo {version}" if version else "exit 1"
    python.write_text(f"#!/bin/sh\n{says}\n")
    python.chmod(0o755)
    return VlmConfig(environment=str(folder), port=free_port())


def options(command: Command) -> dict[str, str]:
    """Arguments with a value, by name."""
    words = command.words
    pairs = itertools.pairwise(words)
    return {name: value for name, value in pairs if name.startswith("--") and value[:2] != "--"}


def test_sglang_as_its_documentation_has_it() -> None:
    config = VlmConfig(
        model="m", tensor_parallel=2, quantization="awq", kv_cache="fp8_e4m3",
        running_requests=32, memory=0.7, context=4096, frames=5, arguments="--log-level info",
    )  # fmt: skip
    (command,) = vlm.commands(config)
    assert command.words[1:3] == ("-m", "sglang.launch_server")
    assert options(command) == {
        "--model-path": "m", "--host": "127.0.0.1", "--port": "30000", "--tp-size": "2",
        "--mem-fraction-static": "0.7", "--context-length": "4096",
        "--max-running-requests": "32", "--kv-cache-dtype": "fp8_e4m3", "--quantization": "awq",
        "--limit-mm-data-per-request": '{"image":5}', "--log-level": "info",
    }  # fmt: skip
    assert {"--enable-metrics", "--enable-cache-report"} <= set(command.words)
    assert "--trust-remote-code" not in command.words
    assert command.ready == "http://127.0.0.1:30000/ready", "/health would generate a token"


@pytest.mark.parametrize("engine", ["sglang", "vllm"])
@pytest.mark.parametrize("type_", ["auto", "fp8_e4m3", "fp8_e5m2", "bfloat16"])
def test_the_type_of_the_cache_is_the_one_that_was_asked_for_or_refused(
    engine: str, type_: str
) -> None:
    config = VlmConfig(engine=engine, kv_cache=type_)  # type: ignore[arg-type]
    try:
        (command,) = vlm.commands(config)
    except ConfigError:
        assert (engine, type_) == ("vllm", "bfloat16")
    else:
        assert options(command)["--kv-cache-dtype"] == type_


def test_an_encoder_of_its_own_starts_first() -> None:
    encoder, model = vlm.commands(VlmConfig(encoder_split=True, port=30010))
    assert "--encoder-only" in encoder.words
    assert options(encoder)["--port"] == "30011"
    assert "--language-only" in model.words
    assert options(model)["--encoder-urls"] == "http://127.0.0.1:30011"
    assert encoder.ready == "http://127.0.0.1:30011/health"


def test_vllm_runs_phi_3_vision() -> None:
    model = "microsoft/Phi-3-vision-128k-instruct"
    (command,) = vlm.commands(VlmConfig(engine="vllm", model=model, trust_remote_code=True))
    assert command.words[0].endswith("/bin/vllm")
    assert command.words[1:3] == ("serve", model)
    assert options(command)["--limit-mm-per-prompt"] == '{"image":9}'
    assert options(command)["--kv-cache-dtype"] == "auto"
    assert "--trust-remote-code" in command.words
    assert command.ready.endswith("/health")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (VlmConfig(model=" "), "vlm.model"),
        (VlmConfig(engine="vllm", encoder_split=True), "vlm.encoder_split"),
        (VlmConfig(encoder_split=True, port=65535), "vlm.port"),
        (VlmConfig(engine="vllm", kv_cache="bfloat16"), r"vlm\.kv_cache = bfloat16.*auto"),
        (VlmConfig(host="0.0.0.0"), "vlm.key_file"),
        (VlmConfig(host="192.168.1.4"), "vlm.key_file"),
        (VlmConfig(host="example.org"), "vlm.key_file"),
        (VlmConfig(arguments="--port 1"), "--port is said by a setting"),
        (VlmConfig(arguments="--api-key=x"), "--api-key is said by a setting"),
        (VlmConfig(engine="stand-in", arguments="--key-f x"), "--key-f is said by a setting"),
        (VlmConfig(arguments="--log-level 'info"), "vlm.arguments: No closing quotation"),
        (VlmConfig(arguments="--log-level info\\"), "vlm.arguments: No escaped character"),
    ],
)
def test_settings_that_cannot_be(config: VlmConfig, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        vlm.commands(config)


@pytest.mark.parametrize(
    "words",
    [
        "-tp 2", "-tp=2", "-q awq", "-qawq", "--api_key=s3cret", "--api_key s3cret", "--api s3cret",
        "--trust_remote_code", "--no-trust-remote-code", "--no_trust_remote_code", "--trust",
        "--tensor-parallel 2", "--tensor_parallel_size 2", "--limit-mm-per-prompt.image 1",
        "--limit_mm_data_per_request {}", "--encoder_urls http://x", "--admin-api-key=s3cret",
        "--admin_api s3cret", "--log-level info --conf=s3cret.yaml",
    ],
)  # fmt: skip
@pytest.mark.parametrize("which", ["sglang", "vllm"])
def test_engines_take_options_in_other_spellings_and_so_does_the_refusal(
    words: str, which: str
) -> None:
    with pytest.raises(ConfigError, match=r"^vlm\.arguments: -") as error:
        vlm.commands(VlmConfig(engine=which, arguments=words))  # type: ignore[arg-type]
    assert "s3cret" not in str(error.value)


def test_other_options_are_taken_as_they_stand() -> None:
    """What one of ours begins, a number below zero, two dashes, and values of several words."""
    words = [
        "--quantization-param-path",
        "a b",
        "--random-seed",
        "-1",
        "--dtype=half",
        "--",
        "--x_y",
    ]
    (command,) = vlm.commands(VlmConfig(arguments=shlex.join(words)))
    assert list(command.words[-len(words) :]) == words


def test_a_key_file_that_cannot_be_read_is_told_by_its_own_setting(tmp_path: Path) -> None:
    config = VlmConfig(environment=str(tmp_path), key_file="/nowhere/key")
    with pytest.raises(ConfigError, match=r"^vlm\.key_file = /nowhere/key: "):
        vlm.write_secret(config)


def test_a_host_that_is_none_is_told_by_its_setting(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    config = VlmConfig(engine="stand-in", host="two words", key_file=str(key))
    watched = Watched(vlm.commands(config), tmp_path / "log")
    with pytest.raises(ConfigError, match=r"^vlm\.host: 'http://two words:30000'"):
        run(watched.supervisor.run())


def test_the_key_is_on_no_command_line(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    config = VlmConfig(environment=str(tmp_path / "env"), host="0.0.0.0", key_file=str(key))
    for which in ("sglang", "vllm"):
        config.engine = which  # type: ignore[assignment]
        (command,) = vlm.commands(config)
        assert "s3cret" not in command.shown()
        vlm.write_secret(config)
        path = Path(options(command)["--config"])
        assert path.read_text() == 'api-key: "s3cret"\n'
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("log", ["", "{}/one.log"])
def test_engines_on_two_ports_have_a_key_each(tmp_path: Path, log: str) -> None:
    """Of the same environment; a log may be shared, a key may not."""
    configs = []
    for port, word in ((30000, "s3cret"), (30001, "0ther")):
        key = tmp_path / f"key-{port}"
        key.write_text(word)
        config = VlmConfig(
            environment=str(tmp_path), port=port, key_file=str(key), log=log.format(tmp_path)
        )
        vlm.write_secret(config)
        configs.append(config)
    told = [options(vlm.commands(config)[0])["--config"] for config in configs]
    assert [Path(path).read_text() for path in told] == [
        'api-key: "s3cret"\n', 'api-key: "0ther"\n'
    ]  # fmt: skip
    logs = {vlm.log_of(config) for config in configs}
    assert logs == (
        {Path(log.format(tmp_path))} if log
        else {tmp_path / "engine-30000.log", tmp_path / "engine-30001.log"}
    )  # fmt: skip


@pytest.mark.parametrize("keyed", [True, False])
def test_what_was_written_under_older_names_is_hidden(tmp_path: Path, keyed: bool) -> None:
    """One log for all ports, which everybody could read, and its secret: the key stands in both,
    also where it has been taken out of the settings since."""
    env, key = tmp_path / "env", tmp_path / "key"
    env.mkdir()
    key.write_text("s3cret\n")
    names = ("engine.log", "engine.log.1", "engine-secret.yaml", "notes.log")
    for name in names:
        (env / name).write_text("api_key='s3cret'")
        (env / name).chmod(0o644)
    config = VlmConfig(environment=str(env), key_file=str(key) if keyed else "")
    config.log = str(tmp_path / "own.log")
    vlm.write_secret(config)
    assert {(env / name).stat().st_mode & 0o777 for name in names} == {0o644}, "not where it looks"
    config.log = ""
    vlm.write_secret(config)
    modes = {name: (env / name).stat().st_mode & 0o777 for name in names if (env / name).exists()}
    assert modes == {"engine.log": 0o600, "engine.log.1": 0o600, "notes.log": 0o644}
    assert (env / "engine.log").read_text() == "api_key='s3cret'", "its words stay"


def test_what_only_has_an_older_name_is_left_alone(tmp_path: Path) -> None:
    """A link leads elsewhere, a pipe has a reader, a folder is no log."""
    env, other = tmp_path / "env", tmp_path / "other"
    env.mkdir()
    other.write_text("mine")
    other.chmod(0o644)
    (env / "engine.log").symlink_to(other)
    os.mkfifo(env / "engine.log.1")
    (env / "engine.log.1").chmod(0o666)
    (env / "engine-secret.yaml").mkdir()
    vlm.write_secret(VlmConfig(environment=str(env)))
    assert other.stat().st_mode & 0o777 == 0o644
    assert (env / "engine.log.1").stat().st_mode & 0o777 == 0o666
    assert (env / "engine-secret.yaml").is_dir()


def test_the_stand_in_asks_for_the_key_too(tmp_path: Path) -> None:
    """It listened beyond this machine without one, though the settings named it."""
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    config = VlmConfig(
        engine="stand-in", host="0.0.0.0", port=free_port(), key_file=str(key),
        arguments="--loading 0.01",
    )  # fmt: skip
    (command,) = vlm.commands(config)
    assert "s3cret" not in command.shown()

    async def ask(key: str) -> int:
        client = HttpClient(vlm.url_of(config), key=key)
        try:
            return (await client.get("/v1/models", 20.0)).status
        finally:
            await client.close()

    async def go() -> None:
        watched = Watched([command], tmp_path / "log")
        supervisor = Supervisor(
            [command], tmp_path / "log", key="s3cret", patience=QUICK, told=watched.events.append
        )
        task = asyncio.create_task(supervisor.run())
        await watched.until(lambda: task.done() or watched.said("ready") == 1)
        assert [await ask(shown) for shown in ("s3cret", "", "other")] == [200, 401, 401]
        supervisor.stop()
        await task

    run(go())


def test_what_is_missing_is_said_with_the_commands_that_install_it(tmp_path: Path) -> None:
    folder = tmp_path / "my engine"
    with pytest.raises(BackendError, match="sglang is not installed") as error:
        vlm.preflight(VlmConfig(environment=str(folder), port=free_port()))
    lines = str(error.value).splitlines()
    assert shlex.split(lines[1]) == ["python3", "-m", "venv", str(folder)]
    pip = str(folder / "bin" / "pip")
    assert shlex.split(lines[2]) == [pip, "install", "sglang>=0.5.10"]
    with pytest.raises(BackendError, match="not installed in"):
        vlm.preflight(engine(tmp_path / "empty", ""))


def test_old_versions_are_refused(tmp_path: Path) -> None:
    assert vlm.preflight(engine(tmp_path / "good")) == "0.5.21"
    assert vlm.preflight(engine(tmp_path / "edge", "0.5.10.post1")) == "0.5.10.post1"
    assert vlm.preflight(engine(tmp_path / "night", "0.0.0.dev1+gabc")) == "0.0.0.dev1+gabc"
    for old in ("0.5.9", "0.4.99", "0.2.9.post3"):
        with pytest.raises(BackendError, match="CVE-2026-3059"):
            vlm.preflight(engine(tmp_path / old, old))


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    config = engine(tmp_path / "env")
    with socket.socket() as other:
        other.bind(("127.0.0.1", config.port))
        other.listen()
        with pytest.raises(BackendError, match=f"port {config.port} is taken"):
            vlm.preflight(config)
