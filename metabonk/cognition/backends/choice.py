"""Which backends there are, and the chain that the settings ask for.

Knows the names `rules`, `openai` and `policy` and how each is made; others are handed in. An
adapter is imported when it is asked for: agents wait for a server that starts anew. Does not know
brokers, agents or questions. No backend set: `rules`. One that is set and not there is an error at
the start, and a counted fallback later.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from metabonk.cognition.backends.fallback import Chain
from metabonk.cognition.backends.rules import Rules
from metabonk.cognition.menus.menu import MenuRules
from metabonk.cognition.question import Backend
from metabonk.errors import BackendError, ConfigError, CorruptError
from metabonk.schema import BackendConfig

if TYPE_CHECKING:
    from metabonk.cognition.backends.openai import OpenAIBackend

EMBEDDED = "rules"
MODEL = "openai"
Maker = Callable[[BackendConfig], list[Backend]]
MOST_KEY = 4096  # bytes of a key file


def make(
    config: BackendConfig, others: Mapping[str, Maker] | None = None, menu_model: str = ""
) -> Chain:
    """The chain of the settings, not opened yet.

    others: makers of more backends by name. menu_model: that `openai` asks about menus; empty: the
    one of its strategy. Raises ConfigError for a name that nobody knows, a url
    that is none, or a key file or a policy that cannot be read.
    """
    makers: dict[str, Maker] = {
        EMBEDDED: _rules,
        MODEL: functools.partial(_openai, menu_model),
        "policy": _policy,
        **(others or {}),
    }
    names = [name.strip() for name in config.chain.split(",") if name.strip()]
    if EMBEDDED not in names:
        names.append(EMBEDDED)
    backends: list[Backend] = []
    for name in names:
        if name not in makers:
            near = difflib.get_close_matches(name, makers, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(
                f"backend.chain: there is no backend {name!r}: {hint}known are {', '.join(makers)}"
            )
        if names.count(name) > 1:
            raise ConfigError(f"backend.chain: {name!r} stands in it twice; once is enough")
        backends += makers[name](config)
    return Chain(backends)


def family(name: str) -> str:
    """What a backend's name is in `backend.chain`: the second server of `openai` is openai2."""
    return MODEL if name.rstrip("0123456789") == MODEL else name


def read_key(path: str, setting: str = "backend.key_file") -> str:
    """The key in a file, without line breaks. setting: that names the file, for errors. Raises
    ConfigError."""
    if not path:
        return ""
    try:
        with Path(path).expanduser().open("rb") as file:
            text = file.read(MOST_KEY + 1).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{setting} = {path}: {error}") from error
    if not text or len(text) >= MOST_KEY or any(not 32 < ord(c) < 127 for c in text):
        raise ConfigError(f"{setting} = {path}: wanted one line with one key")
    return text


def _asks_a_server(backend: Backend) -> TypeGuard[OpenAIBackend]:
    if not backend.limit:
        return False
    from metabonk.cognition.backends.openai import OpenAIBackend

    return isinstance(backend, OpenAIBackend)


def _rules(config: BackendConfig) -> list[Backend]:
    return [Rules(menus=MenuRules().answer)]


def _policy(config: BackendConfig) -> list[Backend]:
    if not config.policy:
        raise ConfigError(
            "backend.policy: empty; name the directory that `metabonk cognition distil` wrote"
        )
    from metabonk.cognition.backends.policy import PolicyBackend

    try:
        return [PolicyBackend(config.policy, MenuRules().answer)]
    except (OSError, CorruptError) as error:
        raise ConfigError(f"backend.policy = {config.policy}: {error}") from error


def _openai(menu_model: str, config: BackendConfig) -> list[Backend]:
    urls = [url.strip() for url in config.url.split(",") if url.strip()]
    models = [model.strip() for model in config.model.split(",")] if config.model else []
    if not urls:
        raise ConfigError("backend.url: empty; give the address of a model server")
    if len(models) > len(urls):
        raise ConfigError(f"backend.model: {len(models)} models for {len(urls)} servers")
    if len(models) == 1:
        models *= len(urls)
    from metabonk.cognition.backends.menu_model import WithMenuModel
    from metabonk.cognition.backends.openai import OpenAIBackend, Server
    from metabonk.cognition.backends.probe import Wish

    key = read_key(config.key_file)
    made: list[Backend] = []
    for index, url in enumerate(urls):
        wish = Wish(
            model=models[index] if index < len(models) else "",
            mode=config.mode,
            frames=config.frames,
            timeout=config.probe_timeout,
            wait=config.wait,
        )
        server = Server(
            url,
            key=key,
            wish=wish,
            limit=config.limit,
            temperature=config.temperature,
            explain_seconds=config.explain_seconds,
        )
        name = MODEL if index == 0 else f"{MODEL}{index + 1}"
        if menu_model and menu_model != wish.model:
            menus = dataclasses.replace(server, wish=dataclasses.replace(wish, model=menu_model))
            made.append(WithMenuModel(server, menus, name))
        else:
            made.append(OpenAIBackend(server, name))
    return made


def describe(chain: Chain) -> list[str]:
    """Lines per backend of an opened chain, for people: what answers, and how; of one whose menus
    another model answers, that one too."""
    lines = []
    for link in chain.links:
        backend = link.backend
        if not _asks_a_server(backend):
            lines.append(f"{backend.name}: answers at once, without a server")
            continue
        from metabonk.cognition.backends.menu_model import WithMenuModel

        lines += _described(backend.name, backend)
        if isinstance(backend, WithMenuModel):
            lines += _described(f"{backend.name}, menus", backend.menus)
    return lines


def _described(name: str, backend: OpenAIBackend) -> list[str]:
    if backend.found is None:
        raise BackendError(f"{backend.name}: open the chain before it is described")
    found, dialect = backend.found, backend.found.dialect
    how = f"scores by {dialect.score}" if found.mode == "score" else f"writes {dialect.schema}"
    count = dialect.score_images if found.mode == "score" else dialect.images
    version = f" {dialect.version}" if dialect.version else ""
    line = (
        f"{name}: {dialect.model} at {backend.url} ({dialect.server}{version}), {how}, "
        f"{count} pictures"
    )
    return [line, *(f"  note: {note}" for note in found.notes)]
