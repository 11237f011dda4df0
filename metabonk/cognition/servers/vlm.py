"""The model server's settings as command lines, and what is missing to run them.

Knows SGLang's and vLLM's arguments and where they are installed; never imports them (they pin a
Torch and a CUDA of their own). Does not know processes (supervise.py) or questions. SGLang before
0.5.10 is refused: whoever reached one of its sockets could run code (CVE-2026-3059, CVE-2026-3060).
Sources: docs.sglang.io server_arguments and epd_disaggregation; docs.vllm.ai `vllm serve`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from metabonk.cognition.backends.choice import read_key
from metabonk.errors import BackendError, ConfigError
from metabonk.schema import VlmConfig

OLDEST: Mapping[str, tuple[int, int, int]] = {"sglang": (0, 5, 10), "vllm": (0, 11, 0)}
_OURS = {  # what settings say; `arguments` may not say otherwise
    "--model", "--model-path", "--host", "--port", "--api-key", "--config", "--tp", "--tp-size",
    "--tensor-parallel-size", "--quantization", "--kv-cache-dtype", "--max-running-requests",
    "--max-num-seqs", "--mem-fraction-static", "--gpu-memory-utilization", "--context-length",
    "--max-model-len", "--trust-remote-code", "--encoder-only", "--language-only",
    "--encoder-urls", "--limit-mm-per-prompt", "--limit-mm-data-per-request", "--key-file",
}  # fmt: skip
_SECRET = {"--admin-api-key", "--ssl-keyfile-password"}  # that no setting has, either
_SHORT = re.compile(r"-[^\W\d]")


@dataclass(frozen=True)
class Command:
    """One process. words: its command line, without secrets. ready: the url that answers 200 once
    it serves."""

    name: str
    words: tuple[str, ...]
    ready: str

    def shown(self) -> str:
        """The command line as it would be typed."""
        return shlex.join(self.words)


def commands(config: VlmConfig) -> list[Command]:
    """The processes of the settings, in the order in which they start.

    Raises ConfigError for settings that do not fit each other.
    """
    _check(config)
    if config.engine == "stand-in":
        return [_stand_in(config)]
    if config.engine == "vllm":
        return [_vllm(config)]
    if not config.encoder_split:
        return [_sglang(config, "model", config.port, ())]
    transfer = ("--encoder-transfer-backend", "zmq_to_scheduler")
    encoder = _sglang(config, "encoder", config.port + 1, ("--encoder-only", *transfer))
    urls = ("--encoder-urls", f"http://127.0.0.1:{config.port + 1}")
    return [encoder, _sglang(config, "model", config.port, ("--language-only", *urls, *transfer))]


def preflight(config: VlmConfig) -> str:
    """The engine's version, when everything is there that the settings need.

    Raises BackendError that says exactly what to install or change.
    """
    for command in commands(config):
        port = int(command.ready.rpartition("/")[0].rpartition(":")[2])
        if _listens(port):
            raise BackendError(
                f"port {port} is taken: a model server may still be running there; stop it, or "
                "give another one (vlm.port)"
            )
    if config.engine == "stand-in":
        return "stand-in"
    python = python_of(config)
    if not python.is_file():
        raise BackendError(f"{config.engine} is not installed. {_install(config)}")
    version = _version(python, config.engine)
    if version is None:
        folder = folder_of(config)
        raise BackendError(f"{config.engine} is not installed in {folder}. {_install(config)}")
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:3])
    oldest = OLDEST[config.engine]
    if len(numbers) == 3 and numbers != (0, 0, 0) and numbers < oldest:
        wanted = ".".join(map(str, oldest))
        raise BackendError(
            f"{config.engine} {version} in {folder_of(config)} is too old, {wanted} is wanted"
            + (" (CVE-2026-3059, CVE-2026-3060). " if config.engine == "sglang" else ". ")
            + _install(config)
        )
    return version


def folder_of(config: VlmConfig) -> Path:
    """The engine's own environment."""
    return Path(config.environment).expanduser()


def python_of(config: VlmConfig) -> Path:
    """The interpreter in it."""
    return folder_of(config) / "bin" / "python"


def log_of(config: VlmConfig) -> Path:
    """Where the engine's words go; each port of an environment has a file of its own."""
    if config.log:
        return Path(config.log).expanduser()
    return folder_of(config) / f"engine-{config.port}.log"


def url_of(config: VlmConfig) -> str:
    """What `backend.url` should say, on this machine."""
    anywhere = config.host in ("0.0.0.0", "::", "*")
    host = "127.0.0.1" if anywhere else config.host
    return f"http://{f'[{host}]' if ':' in host else host}:{config.port}"


def _check(config: VlmConfig) -> None:
    if not config.model.strip():
        raise ConfigError("vlm.model: empty; give a path or a name")
    if config.encoder_split and config.engine != "sglang":
        raise ConfigError("vlm.encoder_split: only sglang has it; set vlm.engine=sglang")
    if config.encoder_split and config.port == 65535:
        raise ConfigError("vlm.port = 65535: the encoder takes the next one; give a smaller one")
    if config.engine == "vllm" and config.kv_cache == "bfloat16":
        raise ConfigError(
            "vlm.kv_cache = bfloat16: vllm takes that only for the few models whose cache is fp8 "
            "by default; auto is the model's own type, for most of them bfloat16"
        )
    if not _local(config.host) and not config.key_file:
        raise ConfigError(
            f"vlm.host = {config.host}: beyond this machine a key is asked for: put one into a "
            "file and name it by vlm.key_file"
        )
    for word in _more(config):
        _check_word(word.partition("=")[0])


def _more(config: VlmConfig) -> list[str]:
    """The words of `arguments`. Raises ConfigError."""
    try:
        return shlex.split(config.arguments)
    except ValueError as error:  # nothing of what stands there is shown: it may be a key
        raise ConfigError(
            f"vlm.arguments: {error}: wanted words as a shell takes them, every quote closed"
        ) from None


def _check_word(name: str) -> None:
    """Raises ConfigError for an option that settings say, in any of the ways in which engines take
    it: with underscores, cut short while it is clear, negated, with a part of its value behind a
    dot, or by a letter or two (-tp)."""
    if _SHORT.match(name):
        raise ConfigError(
            f"vlm.arguments: {name}: give an option by its whole name, with two dashes; what a "
            "setting says, as -tp and -q, by that setting (vlm.tensor_parallel, vlm.quantization)"
        )
    plain = name.replace("_", "-").partition(".")[0]
    plain = f"--{plain.removeprefix('--no-')}" if plain.startswith("--no-") else plain
    if len(plain) <= 2 or not plain.startswith("--"):
        return
    if any(ours.startswith(plain) for ours in _OURS):
        raise ConfigError(
            f"vlm.arguments: {name} is said by a setting of its own, or is cut short: leave it out "
            "and set that (`metabonk serve vlm --print` lists them), or write it in full"
        )
    if any(secret.startswith(plain) for secret in _SECRET):
        raise ConfigError(
            f"vlm.arguments: {name}: everybody on this machine can read a command line: leave it "
            "out (the key that clients show is vlm.key_file)"
        )


def _sglang(config: VlmConfig, name: str, port: int, role: tuple[str, ...]) -> Command:
    host = config.host if name == "model" else "127.0.0.1"
    words = [
        str(python_of(config)), "-m", "sglang.launch_server",
        "--model-path", config.model,
        "--host", host,
        "--port", str(port),
        "--tp-size", str(config.tensor_parallel),
        "--mem-fraction-static", f"{config.memory:g}",
        "--context-length", str(config.context),
        "--max-running-requests", str(config.running_requests),
        "--kv-cache-dtype", config.kv_cache,
        "--limit-mm-data-per-request", _json({"image": config.frames}),
        "--enable-metrics", "--enable-cache-report",
        *role,
    ]  # fmt: skip
    if config.quantization:
        words += ["--quantization", config.quantization]
    if config.trust_remote_code:
        words.append("--trust-remote-code")
    if config.key_file and name == "model":
        words += ["--config", str(secret_file(config))]
    words += _more(config)
    # /health would make the model generate a token; an encoder has no tokens, and no /ready.
    path = "/health" if name == "encoder" else "/ready"
    return Command(name, tuple(words), f"http://{_near(host)}:{port}{path}")


def _vllm(config: VlmConfig) -> Command:
    words = [
        str(folder_of(config) / "bin" / "vllm"), "serve", config.model,
        "--host", config.host,
        "--port", str(config.port),
        "--tensor-parallel-size", str(config.tensor_parallel),
        "--gpu-memory-utilization", f"{config.memory:g}",
        "--max-model-len", str(config.context),
        "--max-num-seqs", str(config.running_requests),
        "--kv-cache-dtype", config.kv_cache,
        "--limit-mm-per-prompt", _json({"image": config.frames}),
    ]  # fmt: skip
    if config.quantization:
        words += ["--quantization", config.quantization]
    if config.trust_remote_code:
        words.append("--trust-remote-code")
    if config.key_file:
        words += ["--config", str(secret_file(config))]
    words += _more(config)
    return Command("model", tuple(words), f"http://{_near(config.host)}:{config.port}/health")


def _stand_in(config: VlmConfig) -> Command:
    words = [
        sys.executable, "-m", "metabonk.cognition.servers.standin", "--host", config.host,
        "--port", str(config.port),
    ]  # fmt: skip
    if config.key_file:
        words += ["--key-file", config.key_file]
    words += _more(config)
    return Command("model", tuple(words), f"http://{_near(config.host)}:{config.port}/ready")


def secret_file(config: VlmConfig) -> Path:
    """Where the key stands for the engine: its command line can be read by everybody here. Each
    port has a file of its own, as each may have another key."""
    return log_of(config).with_name(f"engine-secret-{config.port}.yaml")


def write_secret(config: VlmConfig) -> None:
    """Writes `secret_file`, readable by its owner alone, where the settings have a key for it; the
    stand-in reads the key's own file. What older versions left in the environment is hidden.

    Raises ConfigError for a key that cannot be read.
    """
    if not config.log:
        _hide_older(folder_of(config))
    if config.engine == "stand-in" or not config.key_file:
        return
    path = secret_file(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    # JSON is YAML.
    line = b"api-key: " + msgspec.json.encode(read_key(config.key_file, "vlm.key_file")) + b"\n"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(line)


def _hide_older(folder: Path) -> None:
    """Every port once had the same log here, which everybody could read, and the same secret: a key
    stands in both, and nobody writes there any more. Only own files, no links or pipes."""
    for name in ("engine.log", "engine.log.1", "engine-secret.yaml"):
        with contextlib.suppress(OSError):  # for the most part it is not there
            fd = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                there = os.fstat(fd)
                if stat.S_ISREG(there.st_mode) and there.st_uid == os.geteuid():
                    os.fchmod(fd, 0o600)
                    if name.endswith(".yaml"):
                        (folder / name).unlink()
            finally:
                os.close(fd)


def _install(config: VlmConfig) -> str:
    folder, engine = folder_of(config), config.engine
    oldest = ".".join(map(str, OLDEST[engine]))
    return (
        "Install it into an environment of its own:\n"
        f"  python3 -m venv {shlex.quote(str(folder))}\n"
        f"  {shlex.quote(str(folder / 'bin' / 'pip'))} install '{engine}>={oldest}'\n"
        "It needs an NVIDIA GPU. Without one: vlm.engine=stand-in to try the way, or no model "
        "server at all (backend.chain=rules)."
    )


def _version(python: Path, engine: str) -> str | None:
    """Asked of the environment's package index, so that nothing of the engine is run."""
    code = f"from importlib.metadata import version; print(version({engine!r}))"
    try:
        done = subprocess.run(
            [python, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"{python} cannot be run ({error}): make the environment anew") from None
    return done.stdout.strip() if done.returncode == 0 else None


def _local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _near(host: str) -> str:
    if host in ("0.0.0.0", "::", "*"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
