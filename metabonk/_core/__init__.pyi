"""The native core of MetaBonk."""

from metabonk._core import (
    arena as arena,
    grid64 as grid64,
    records as records,
    support as support
)
