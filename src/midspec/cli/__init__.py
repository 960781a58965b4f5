"""The command line: flags -> config -> one library call -> what the user sees."""

from __future__ import annotations

import os
import sys
import traceback

# Before any heavy import: no tokenizer warnings about forks, no hub traffic by accident.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

_INTERRUPTED = 130


def main() -> None:
    """Run the command; errors are one line with the next step (``--debug``: the traceback)."""
    from midspec.cli.app import app
    from midspec.cli.show import errors
    from midspec.errors import MidspecError

    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app(standalone_mode=True)
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer turns Ctrl-C into an exit without a word.
        if isinstance(end, SystemExit) and end.code != _INTERRUPTED:
            raise
        errors.print("Interrupted. Nothing is lost: run the same command again to go on.")
        sys.exit(_INTERRUPTED)
    except MidspecError as error:
        if debug:
            traceback.print_exc()
        errors.print(f"[red]error:[/red] {type(error).__name__}: ", end="")
        errors.print(str(error), markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
