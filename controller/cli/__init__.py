"""The command line: what people type, and what their scripts read. ``python -m controller`` calls ``main``.

``program`` turns argv into an exit code and every error into one line; ``tree`` has all the commands.
"""

from controller.cli.program import main

__all__ = ["main"]
