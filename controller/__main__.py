"""The entry point of `batchkeeper` and of `python -m controller`: hands argv to the command line."""

import sys

from controller.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
