"""A loopback server that speaks the Anthropic and the OpenAI API, with faults on demand.

It keeps a log of all it was asked and all it answered, so that a test can prove that nothing
was paid for twice. Start it with ``python -m tests.provider --port 0 --latency 0.05``.
"""

from tests.provider.client import Provider, running
from tests.provider.settings import KEY, Settings

__all__ = ["KEY", "Provider", "Settings", "running"]
