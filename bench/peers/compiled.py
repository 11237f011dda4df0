"""torch.compile as a contender: compiled for its own row.

What it keeps is forgotten first. It would otherwise meet a function in a second shape with code for
any shape, which is slower, and from the eighth shape on with none at all. Where it cannot compile,
as where no C++ compiler is, the contender is absent and says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..versus import AbsentError
from . import require


def compiled(run: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    """`run` as torch.compile makes it; how: its other arguments. Raises AbsentError when it is
    called first, of what it cannot compile."""
    torch = require("torch", "train")
    torch.compiler.reset()
    made = torch.compile(run, dynamic=False, **how)
    failures = (
        require("torch._dynamo.exc", "train").TorchDynamoException,
        require("torch._inductor.exc", "train").InductorError,
    )

    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return made(*arguments, **named)
        except failures as error:
            why = " ".join(str(error).split())[:300]
            raise AbsentError(f"torch.compile cannot have this: {why}") from error

    return call
