"""What we compare with: other systems as contenders, and loops written as people write them.

Every module here imports its peer when a contender is opened; one that is not installed raises
MissingExtraError.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from metabonk.errors import MissingExtraError


def require(package: str, extra: str = "bench") -> ModuleType:
    """The imported peer. Raises MissingExtraError, which a contest turns into a skipped row."""
    try:
        found = importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, extra, "this comparison") from error
    if found.__spec__ is None or found.__spec__.origin is None:  # a folder of that name, no package
        raise MissingExtraError(package, extra, "this comparison")
    return found
