"""Keys: made once, kept from others, and each bound to its names."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zmq

from metabonk.cognition.protocol import keys
from metabonk.errors import ConfigError


def allow(folder: Path, text: str) -> Path:
    path = folder / "allow.toml"
    path.write_text(text)
    return path


def test_a_pair_is_made_and_read(tmp_path: Path) -> None:
    secret, public = keys.new("omega-0", tmp_path / "new")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    pair = keys.read_pair(secret)
    assert keys.read_public(public) == pair.public
    assert zmq.curve_public(pair.secret.encode()).decode() == pair.public
    assert pair.secret not in repr(pair)
    other = keys.read_pair(keys.new("omega-1", tmp_path / "new")[0])
    assert other.secret != pair.secret


def test_no_key_is_ever_replaced(tmp_path: Path) -> None:
    secret, public = keys.new("a", tmp_path)
    before = secret.read_bytes()
    with pytest.raises(ConfigError, match="there is a key already"):
        keys.new("a", tmp_path)
    secret.unlink()
    with pytest.raises(ConfigError, match="there is a key already"):
        keys.new("a", tmp_path)
    assert public.exists()
    assert before


@pytest.mark.parametrize("name", ["", "a b", "../a", ".a", "a/b", "a" * 65, "a\n"])
def test_a_keys_name_is_an_agents(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="name:"):
        keys.new(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret, _ = keys.new("a", tmp_path)
    for mode in (0o640, 0o604, 0o660):
        os.chmod(secret, mode)
        with pytest.raises(ConfigError, match="chmod 600"):
            keys.read_pair(secret)


def test_files_that_are_no_keys_are_refused(tmp_path: Path) -> None:
    secret, public = keys.new("a", tmp_path)
    other, _ = keys.new("b", tmp_path)
    mixed = [keys.read_pair(secret).public, keys.read_pair(other).secret]
    secret.write_text("\n".join(mixed))
    with pytest.raises(ConfigError, match="do not belong together"):
        keys.read_pair(secret)
    for text in ("", "short\nshorter\n", "x" * 40, "é" * 80):
        secret.write_text(text)
        with pytest.raises(ConfigError):
            keys.read_pair(secret)
    for data in (b"", b"x" * 41, b"\xff" * 40, b"x" * (2 << 20)):
        public.write_bytes(data)
        with pytest.raises(ConfigError):
            keys.read_public(public)


def test_who_may_use_which_name(tmp_path: Path) -> None:
    one, two = (keys.read_public(keys.new(n, tmp_path)[1]) for n in ("one", "two"))
    path = allow(tmp_path, f'[agents]\n"omega-0" = "{one}"\n"night-*" = ["{one}", "{two}"]\n')
    found = keys.read_allowed(path)
    assert found.knows(one)
    assert found.knows(two)
    assert not found.knows("x" * 40)
    names = ("omega-0", "omega-1", "night-3", "Night-3", "night")
    assert [n for n in names if found.may(one, n)] == ["omega-0", "night-3"]
    assert [n for n in names if found.may(two, n)] == ["night-3"]
    assert not any(found.may("x" * 40, n) for n in names)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "wanted one table"),
        ("[agents]\n", "wanted one table"),
        ("agents = 1\n", "wanted one table"),
        ('[agents]\n"a" = "short"\n', "agents.a: not a public key"),
        ('[agents]\n"a" = 7\n', "agents.a: not a public key"),
        ('[agents]\n"a" = ["x"]\n', "agents.a: not a public key"),
        ('[agents\n"a"', "not valid TOML"),
        ("[other]\nx = 1\n", "wanted one table"),
    ],
)
def test_a_list_that_is_none_is_told(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        keys.read_allowed(allow(tmp_path, text))
