"""A writer for tests and dry runs: a function writes, and failures come when asked for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from midspec.llm.door import Reply, Request, Stop


class ScriptedWriter:
    """A writer whose replies a function makes; it counts what it was asked.

    ``fail`` may return a stop other than ``"stop"`` for a request (or None); ``delay_s`` is
    how long a reply takes. ``asked`` counts calls by request id.

    Example:
        >>> from midspec.records import Spec
        >>> spec = Spec(name="s", text="Be kind.", model_name="Iris", provider_name="Wren Labs")
        >>> writer = ScriptedWriter(lambda request: request.prompt.upper())
        >>> asyncio.run(writer.reply(Request(prompt="corpus/domains", spec=spec))).text
        'CORPUS/DOMAINS'
        >>> writer.calls
        1
    """

    def __init__(
        self,
        script: Callable[[Request], str],
        *,
        name: str = "scripted",
        fail: Callable[[Request], Stop | None] | None = None,
        delay_s: float = 0.0,
    ) -> None:
        self.name = name
        self.asked: Counter[str] = Counter()
        self._script = script
        self._fail = fail
        self._delay_s = delay_s

    @property
    def calls(self) -> int:
        """How often a reply was asked for."""
        return self.asked.total()

    async def reply(self, request: Request) -> Reply:
        """Answer by the script."""
        self.asked[request.id] += 1
        await asyncio.sleep(self._delay_s)
        stop = (self._fail(request) if self._fail else None) or "stop"
        text = "" if stop in ("error", "refusal") else self._script(request)
        if stop == "length":
            text = text[: len(text) // 2]
        error = "scripted failure" if stop == "error" else ""
        return Reply(request=request.id, text=text, stop=stop, model=self.name, error=error)
