"""A hard limit on what calls cost, which holds however many run at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from midspec.errors import ConfigError, WriterError
from midspec.llm.door import Reply, Request, Writer
from midspec.llm.prices import Prices, read_ledger


class BudgetError(WriterError):
    """The next call might cost more than is left."""


class Budget:
    """Dollars that may be spent; several writers and journals may share one.

    A call reserves its worst case before it starts and pays what it cost when it is done. A call
    that does not fit waits while others run, since they mostly cost less than they reserved. If
    it does not fit when nothing runs, it raises BudgetError, and so do all after it. Calls that
    never got an answer (timeouts, cut connections) are not seen here; a provider may bill them.

    Example:
        >>> budget = Budget(1.0)
        >>> asyncio.run(budget.reserve(0.6))
        >>> budget.settle(0.6, 0.1)
        >>> budget.spent
        0.1
    """

    def __init__(self, max_cost: float, *, spent: float = 0.0) -> None:
        if max_cost <= 0:
            raise ConfigError(f"--max-cost {max_cost:g} allows nothing; give a sum above 0")
        self.max_cost = max_cost
        self.spent = spent
        self.reserved = 0.0
        self._used_up = False
        self._waiting: list[asyncio.Future[None]] = []

    @classmethod
    def resume(cls, max_cost: float, journals: Iterable[Path], prices: Prices) -> Budget:
        """A budget of which the replies in these journals are already paid."""
        return cls(max_cost, spent=read_ledger(journals, prices).cost or 0.0)

    async def reserve(self, cost: float) -> None:
        """Set the worst case of one call aside. Raises BudgetError if it does not fit."""
        while not self._fits(cost):
            if not self.reserved:
                self._used_up = True
                self._wake()
                raise BudgetError(self._message(cost))
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self.reserved += cost

    def settle(self, reserved: float, cost: float) -> None:
        """Pay for a call that is done."""
        self.reserved -= reserved
        if self.reserved < 1e-9:  # sums of floats leave dust
            self.reserved = 0.0
        self.spent += cost
        self._wake()

    def _fits(self, cost: float) -> bool:
        return not self._used_up and self.spent + self.reserved + cost <= self.max_cost

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)

    def _message(self, cost: float) -> str:
        return (
            f"${self.spent:.4f} of ${self.max_cost:g} are spent, and the next call may cost "
            f"${cost:.4f}; what was written is kept: run again with a higher --max-cost to go on"
        )


class Paid:
    """A writer whose calls are paid from a budget, at the price of its model."""

    def __init__(self, writer: Writer, budget: Budget, prices: Prices) -> None:
        self.name = writer.name
        self.window: int = getattr(writer, "window", 0)
        self._writer = writer
        self._budget = budget
        self._price = prices.of(writer.name)

    async def reply(self, request: Request) -> Reply:
        """Answer one request. Raises BudgetError if it might exceed the budget."""
        worst = self._price.worst(request, batched=bool(self.window))
        cost = 0.0
        await self._budget.reserve(worst)
        try:
            reply = await self._writer.reply(request)
            cost = self._price.of(reply)
        finally:
            self._budget.settle(worst, cost)
        return reply

    async def close(self) -> None:
        """Close the writer's connections."""
        if close := getattr(self._writer, "close", None):
            await close()
