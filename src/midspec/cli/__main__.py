"""``python -m midspec.cli``: the same as the ``midspec`` command."""

from midspec.cli import main

main()
