"""Settings that somebody sets and nothing reads, and what to do about each.

Knows every section of a configuration and which part reads which of its settings. Does not know
where settings come from (config.py) or what they do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from metabonk.schema import Config

Source = Mapping[str, Any]
BESIDE = ("world", "dream", "efe")  # sections of what learns beside the policy
# Of `dream`, what active inference has settings of its own for, or does not do.
DREAMERS_OWN = ("share", "passes", "starts", "distill_coef")


class _Rule(NamedTuple):
    """unread: whether nothing reads the settings. asks: of a source and a key, whether that source
    expects it to be read. why: follows `nothing reads KEYS`."""

    unread: Callable[[Config], bool]
    asks: Callable[[Source, str], bool]
    why: str


def idle(config: Config, sources: Iterable[Source]) -> list[str]:
    """What to say of settings, by key, that sources tell and nothing reads where somebody trains,
    and of parts that learn for nobody: a line each. A source that turns a part off by name says so
    itself."""
    sources = list(sources)
    lines = []
    for rule in RULES:
        if rule.unread(config):
            keys = dict.fromkeys(k for told in sources for k in told if rule.asks(told, k))
            lines += [f"nothing reads {', '.join(keys)} {rule.why}"] if keys else []
    if _active(config) and not config.efe.distill_coef:
        lines.append(
            "efe.distill_coef = 0: active inference learns and teaches nobody: give it a weight "
            "(efe.distill_coef = 0.05), or leave it out (efe.enabled = 0)"
        )
    return lines


def _of(parts: Collection[str], names: Collection[str] = ()) -> Callable[[Source, str], bool]:
    """Settings of the sections `parts`, all of them or those of `names`, but for those of a section
    that the source itself turns off, and without a world model of all of them."""
    above = BESIDE[:1] if set(parts) <= set(BESIDE) else ()

    def asks(told: Source, key: str) -> bool:
        section, name = key.split(".")
        if section not in parts or name in ("enabled", "recordings"):
            return False
        on = all(told.get(f"{part}.enabled", True) for part in {section, *above})
        return on and (not names or name in names)

    return asks


def _changed(key: str, usual: object) -> Callable[[Source, str], bool]:
    """One setting that is told otherwise than usual: a run's own settings tell all of them."""
    return lambda told, name: name == key and told[key] != usual


def _active(config: Config) -> bool:
    return config.world.learned and config.efe.enabled


def _dreams(config: Config) -> bool:
    return config.world.learned and config.dream.enabled


def _never_passes(config: Config) -> bool:
    dream = config.dream
    both = dream.share and dream.distill_coef and config.game.envs > 1
    return _dreams(config) and not both


RULES = (
    _Rule(
        lambda config: not config.world.learned,
        _of(BESIDE),
        "without a world model: --set world.enabled=1",
    ),
    _Rule(
        lambda config: config.world.learned and not (config.dream.enabled or config.efe.enabled),
        _of(("dream",)),
        "as nobody dreams: --set dream.enabled=1",
    ),
    _Rule(
        lambda config: _active(config) and not config.dream.enabled,
        _of(("dream",), DREAMERS_OWN),
        "without the dreamer: --set dream.enabled=1",
    ),
    _Rule(
        lambda config: config.world.learned and not config.efe.enabled,
        _of(("efe",)),
        "without active inference: --set efe.enabled=1",
    ),
    _Rule(
        lambda config: config.world.learned and not config.world.classes,
        _changed("world.unimix", 0.01),
        "where its variables are Gaussians: --set world.classes=16",
    ),
    _Rule(
        _never_passes,
        _changed("dream.passes", 16),
        "unless the dreamer plays some games of several and teaches: dream.share, "
        "dream.distill_coef and game.envs - 1 are to be above 0",
    ),
    _Rule(
        lambda config: not config.cpqe.enabled,
        _of(("cpqe",)),
        "without a motor, but `metabonk pretrain cpqe` later: --set cpqe.enabled=1",
    ),
    _Rule(
        lambda config: config.cpqe.enabled and not config.model.is_pilot,
        lambda told, key: key == "cpqe.enabled" and bool(told[key]),
        "where the policy is no pilot, of whose play alone motors are learned: set "
        "model.name=pilot, or learn one from recordings with `metabonk pretrain cpqe`",
    ),
)
