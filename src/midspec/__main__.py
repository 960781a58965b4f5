"""``python -m midspec``: the command line, where the script is not on the path."""

from midspec.cli import main

if __name__ == "__main__":
    main()
