"""The command line: flags -> config -> one library call -> what the user sees."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback

# Before any heavy import: no tokenizer warnings about forks, no hub traffic by accident.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

_INTERRUPTED = 130


def main() -> None:
    """Run the command; errors are one line with the next step (``--debug``: the traceback)."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _lost
    try:
        _run(debug)
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer turns Ctrl-C into an exit without a word.
        if isinstance(end, SystemExit) and end.code != _INTERRUPTED:
            raise
        sys.stderr.write("Interrupted. Nothing is lost: run the same command again to go on.\n")
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads that compute and a thousand modules would take their time to be shut down.
        os._exit(_INTERRUPTED)


def _run(debug: bool) -> None:
    from midspec.cli.app import app
    from midspec.cli.show import errors
    from midspec.errors import MidspecError

    try:
        app(standalone_mode=True)
    except MidspecError as error:
        if debug:
            traceback.print_exc()
        errors.print(f"[red]error:[/red] {type(error).__name__}: ", end="")
        errors.print(str(error), markup=False)
        sys.exit(1)


def _lost(lost: sys.UnraisableHookArgs) -> None:
    """Send Ctrl-C once more if it came where no error can leave, as in a destructor."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)


if __name__ == "__main__":
    main()
