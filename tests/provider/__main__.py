"""``python -m tests.provider --port 0 --latency 0.05 --rate-429 0.1``: prints its URL, serves."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import suppress

from tests.provider.app import Server
from tests.provider.client import serve
from tests.provider.core import Core
from tests.provider.settings import Settings


def parse() -> Settings:
    """Settings from the command line: one option for each field."""
    parser = argparse.ArgumentParser(prog="python -m tests.provider", description=__doc__)
    for name, field in Settings.model_fields.items():
        kind = type(field.default)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=field.default, help=field.description)
    return Settings(**vars(parser.parse_args()))


async def main(settings: Settings) -> None:
    """Serve until killed."""
    runner = await serve(Server(Core(settings)), settings)
    host, port = runner.addresses[0][:2]
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(parse()))
