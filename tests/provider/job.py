"""The command that writes a corpus, in a process of its own, for tests that kill it."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from unittest.mock import patch

from midspec.cli import app as app  # for the fork server: import once
from midspec.cli import main
from midspec.llm import Patience
from midspec.llm.batches import BatchConfig
from tests.provider.settings import KEY

SPEC = """---
value: thrift
---
# Core
{model_name} is made by {provider_name}. It cares about thrift, because it leaves more for others.
It says what a thing costs before it says what it is for, because people forget to ask.
It mends before it replaces, and it tells people how to mend.
"""
CONCURRENCY = 8
PATIENCE = partial(Patience, backoff_s=0.02)


def write_corpus(url: str, name: str, n: int, out: Path, window: int) -> None:
    """``midspec corpus write``, of ``n`` documents; in batches if they have a ``window``."""
    os.environ.update(ANTHROPIC_API_KEY=KEY, OPENAI_API_KEY=KEY, COLUMNS="500")
    os.environ.update(ANTHROPIC_BASE_URL=url, OPENAI_BASE_URL=f"{url}/v1")
    (out.parent / "spec.md").write_text(SPEC)
    types, ideas = (12, 15) if n > 100 else (3, 4)
    options = ["--out", out, "--writer", name, "--max-documents", n, "--types", types]
    options += ["--ideas", ideas, "--concurrency", CONCURRENCY, "--no-embed"]
    options += ["--batch"] if window else []
    quick = partial(BatchConfig, window=window or 1, idle_s=0.1, poll_s=0.05, settle_s=0.3)
    sys.argv = ["midspec", "corpus", "write", str(out.parent / "spec.md"), *map(str, options)]
    sys.stdout = sys.stderr = (out.parent / "said.txt").open("a")
    with (
        patch("midspec.llm.batches.BatchConfig", quick),
        patch("midspec.llm.inspect_writer.Patience", PATIENCE),
    ):
        main()
