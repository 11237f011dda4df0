"""A model server whose menus another of its models answers.

Knows two adapters of one server; does not know questions beyond their kind. The navigator's model
may be a small one that reads screens well, the strategist's another.
"""

from __future__ import annotations

from metabonk.cognition.backends.openai import OpenAIBackend, Server
from metabonk.cognition.question import Answer, Question


class WithMenuModel(OpenAIBackend):
    """server: as for strategy. menus: the same server with the model for menus."""

    def __init__(self, server: Server, menus: Server, name: str = "openai") -> None:
        super().__init__(server, name)
        self.menus = OpenAIBackend(menus, name)

    @property
    def sees(self) -> bool:
        """Whether either model looks at pictures: a menu's reader may, where its strategist does
        not. Each is shown as many as it takes itself."""
        return super().sees or self.menus.sees

    async def open(self) -> None:
        """Finds out what both models can. Raises BackendError with the remedy."""
        await super().open()
        await self.menus.open()

    async def decide(self, question: Question) -> Answer:
        """See `question.Backend`. Raises Undecided."""
        if question.kind == "menu":
            return await self.menus.decide(question)
        return await super().decide(question)

    async def close(self) -> None:
        """Aborts what is in flight; safe to call twice."""
        await super().close()
        await self.menus.close()

    def metrics(self) -> dict[str, float]:
        """Counters and gauges by name; those of menus begin with `menu_`."""
        menus = {f"menu_{name}": value for name, value in self.menus.metrics().items()}
        return super().metrics() | menus
