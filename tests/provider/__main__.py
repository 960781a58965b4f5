"""A loopback server that speaks the Anthropic and the OpenAI API, with faults at given rates.

It prints its URL and serves until Ctrl-C. Name that URL to a client:

    python -m tests.provider --port 8099 --latency 0.05 --rate-429 0.1 --log calls.jsonl
    export ANTHROPIC_BASE_URL=http://127.0.0.1:8099 ANTHROPIC_API_KEY=any
    export LOCAL_BASE_URL=http://127.0.0.1:8099/v1 LOCAL_API_KEY=any
    midspec corpus plan SPEC --writer openai-api/local/some-model --out corpus

The log tells what was asked (event "request"), what was answered and billed ("answer"), and the
same of batches ("batch", "member"). GET /stats gives the totals.
"""

from __future__ import annotations

import argparse
import asyncio
import selectors
import sys
from contextlib import suppress

from tests.provider.app import Server
from tests.provider.client import serve
from tests.provider.core import Core
from tests.provider.lean import serve_lean
from tests.provider.settings import Settings


def parse() -> Settings:
    """Settings from the command line: one option for each field."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.provider",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, field in Settings.model_fields.items():
        option, text = f"--{name.replace('_', '-')}", f"{field.description} [{field.default!r}]"
        if field.default is False:
            parser.add_argument(option, action="store_true", help=field.description)
        else:
            parser.add_argument(option, type=type(field.default), default=field.default, help=text)
    return Settings(**vars(parser.parse_args()))


async def main(settings: Settings) -> None:
    """Serve until killed."""
    if settings.lean:
        host, port = await serve_lean(settings)
    else:
        runner = await serve(Server(Core(settings)), settings)
        host, port = runner.addresses[0][:2]
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def _exact_loop() -> asyncio.AbstractEventLoop:
    """A loop whose timers are late by 0.2 ms; epoll's wake at whole milliseconds, uvloop's too."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        settings = parse()
        with asyncio.Runner(loop_factory=_exact_loop if settings.lean else None) as runner:
            runner.run(main(settings))
