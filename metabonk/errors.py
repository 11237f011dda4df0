"""Errors that users meet. Knows of the rest of the package only how an extra of it is installed.

Every message names what was wrong (the argument, the file, the field) and the remedy.
"""

from __future__ import annotations

from metabonk import extras


class MetabonkError(Exception):
    """Base of every error that MetaBonk raises on purpose."""


class ConfigError(MetabonkError, ValueError):
    """A setting from a file, a flag or the environment that cannot be used."""


class SpecError(MetabonkError, ValueError):
    """A level specification that cannot be played; the message starts with the field's path."""


class MissingExtraError(MetabonkError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"{extras.install(extra)}"
        )


class BackendError(MetabonkError, RuntimeError):
    """A backend that was asked for is not there; the message names those that are."""


class CompileError(MetabonkError, ValueError):
    """A network has something that no program can do yet, or was asked for what it cannot be."""


class CorruptError(MetabonkError, ValueError):
    """Bytes from disk or wire that are not what they claim to be."""


class CheckpointError(CorruptError):
    """A checkpoint that is damaged, of another shape or of another version."""


class GameError(MetabonkError, RuntimeError):
    """A game that cannot be started, or that broke while it ran."""


class LinkError(MetabonkError, RuntimeError):
    """The other end of a link is not there, refuses us or went away."""


class DivergedError(MetabonkError, ArithmeticError):
    """Learning gave numbers that are none, again and again; nothing of it was kept."""


class ResumeError(MetabonkError, RuntimeError):
    """A run that cannot be continued as asked."""
