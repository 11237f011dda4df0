"""The native core of MetaBonk."""

from metabonk._core import (
    arena as arena,
    grid64 as grid64,
    ipc as ipc,
    link as link,
    motion as motion,
    nn as nn,
    play as play,
    records as records,
    support as support,
    surroundings as surroundings,
    video as video
)
