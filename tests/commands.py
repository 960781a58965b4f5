"""The real command with its one-line errors, in this process, which takes a tenth of the time."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from midspec.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def midspec(*arguments: object) -> Done:
    """Run ``midspec ARGUMENTS``."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    argv = ["midspec", *map(str, arguments)]
    with patch("sys.argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())
