"""A generation job in a process of its own, for tests that kill it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from midspec.llm import Patience, Request, open_writer, replies
from midspec.llm import inspect_writer as inspect_writer  # for the fork server: import once
from midspec.llm.batches import BatchConfig
from midspec.records import Spec
from tests.provider.settings import KEY

SPEC = Spec(
    name="tea",
    text="# Core\n" + "Iris cares about thrift, because it serves all.\n" * 100,
    model_name="Iris",
    provider_name="Wren Labs",
)


def request(i: int) -> Request:
    """The i-th request of a job."""
    variables = {"domain": f"domain {i}", "n": "2"}
    return Request(prompt="corpus/subdomains", spec=SPEC, variables=variables)


def run_job(url: str, name: str, n: int, journal: Path, concurrency: int, batch: bool) -> None:
    """Ask ``n`` requests; leaves with 130 on an interrupt."""
    os.environ.update(ANTHROPIC_API_KEY=KEY, OPENAI_API_KEY=KEY)
    os.environ.update(ANTHROPIC_BASE_URL=url, OPENAI_BASE_URL=f"{url}/v1")
    args: dict[str, Any] = {"patience": Patience(backoff_s=0.02)}
    if batch:
        args["batches"] = journal.parent / "batches"
        args["batch_config"] = BatchConfig(
            window=max(20, n // 4), idle_s=0.1, poll_s=0.05, settle_s=0.3
        )

    async def go() -> None:
        writer: Any = open_writer(name, **args)
        asked = (request(i) for i in range(n))
        async for _ in replies(asked, writer, journal, concurrency=concurrency, total=n):
            pass
        await writer.close()

    try:
        asyncio.run(go())
    except KeyboardInterrupt:
        sys.exit(130)
