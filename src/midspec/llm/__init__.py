"""The door to language models that write or judge: a Request goes in, a Reply comes out.

``open_writer`` finds a writer by name, ``replies`` asks many requests through a journal,
``render`` and ``prompt_hash`` read prompt files. ``read_prices``, ``read_ledger`` and ``Budget``
say what it costs and hold it below a limit. ``run_until_done`` is ``asyncio.run`` with a sure
Ctrl-C. ``ScriptedWriter`` is the fake that ships.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from midspec.errors import ConfigError
from midspec.llm.attempts import Patience
from midspec.llm.budget import Budget, BudgetError, Paid
from midspec.llm.door import Reply, Request, Stop, Writer
from midspec.llm.fakes import ScriptedWriter
from midspec.llm.journal import Desk, replies
from midspec.llm.prices import Ledger, Price, Prices, read_ledger, read_prices
from midspec.llm.prompts import messages, prompt_hash, render
from midspec.llm.running import run_until_done
from midspec.llm.structured import Unusable, lists, parse_list, unusable
from midspec.progress import Progress, silent

__all__ = [
    "Budget",
    "BudgetError",
    "Desk",
    "Ledger",
    "Paid",
    "Patience",
    "Price",
    "Prices",
    "Reply",
    "Request",
    "ScriptedWriter",
    "Stop",
    "Unusable",
    "Writer",
    "lists",
    "messages",
    "open_writer",
    "parse_list",
    "prompt_hash",
    "read_ledger",
    "read_prices",
    "render",
    "replies",
    "run_until_done",
    "unusable",
]


def open_writer(
    name: str,
    *,
    batches: Path | None = None,
    budget: Budget | None = None,
    prices: Prices | None = None,
    progress: Progress = silent,
    **args: Any,
) -> Writer:
    """A writer by name: ``"scribe"`` (embedded, offline), or any Inspect model name.

    ``batches`` is a folder: requests then go in batches (see ``midspec.llm.batches``), whose
    state is kept there; ``progress`` hears of them. With a ``budget``, calls are paid from it at
    ``prices`` (default: ``read_prices()``). ``args`` go to the writer (see ``InspectWriter``).
    Raises ConfigError if there is no such provider, if its key or package is missing, or if
    the model has no price.

    Example:
        >>> open_writer("mockllm/model").name
        'mockllm/model'
    """
    writer = _open(name, batches, progress, **args)
    return Paid(writer, budget, prices or read_prices()) if budget else writer


def _open(name: str, batches: Path | None, progress: Progress, **args: Any) -> Writer:
    if name == "scribe":
        from midspec.llm.scribe import Scribe

        return Scribe(**args)
    if "/" not in name:
        raise ConfigError(
            f"there is no writer {name!r}; use 'scribe' (embedded) or a provider and a model, "
            "such as 'anthropic/claude-opus-4-6' or 'openai-api/<service>/<model>'"
        )
    from midspec.llm.inspect_writer import InspectWriter

    if batches is None:
        return InspectWriter(name, **args)
    from midspec.llm.batches import BatchWriter

    config = args.pop("batch_config", None)
    return BatchWriter(InspectWriter(name, **args), batches, config=config, progress=progress)
