"""From argv to an exit code: the one place where errors become lines for people.

Exit codes: 0 done, 1 failed, 2 usage, 3 some of the ids were refused; 130 after Ctrl-C, 141 when whoever
read our output has gone, as shells have it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import typer
import typer.main

from controller.cli.output import complain, utf8_or_escaped
from controller.cli.tree import app
from controller.cli.ways import BadSpec
from controller.config import ConfigError
from controller.ports import BatchkeeperError
from controller.telemetry.redaction import redacted

FAILED, USAGE, REFUSED, INTERRUPTED, NO_READER = 1, 2, 3, 130, 141
DEBUG = "--debug"
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""How a file, or a terminal that is gone, refuses what is written to it."""

_PLAINER = (
    ("Input should be a valid integer, .*", "a whole number is wanted, as 10"),
    (r"Input should be greater than or equal to (\d+)", r"at least \1 is wanted"),
    (r"Got unexpected extra argument\S* \((.*)\)", r"too many words: \1"),
    (r" \(Possible options: (.*)\)", r". Did you mean \1?"),
)
"""How the library words a usage error, and how it is said here."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code. What nobody foresaw goes to ``crashed``."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not _asks_for_traceback(arguments):
        sys.excepthook = crashed
    utf8_or_escaped()
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        return _nobody_reads()
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        complain(
            f"the output can't be written ({str(error.strerror).lower()}): make room, or send it elsewhere"
        )
        _nobody_reads()
        return FAILED
    return code


def _asks_for_traceback(arguments: list[str]) -> bool:
    """Whether ``--debug`` stands anywhere before a ``--``; it is taken out, so any command may have it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    found = DEBUG in arguments[:end]
    arguments[:end] = [argument for argument in arguments[:end] if argument != DEBUG]
    return found


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="batchkeeper", standalone_mode=False)
    except typer.TyperException as error:
        complain(usage(error))
        return error.exit_code
    except typer.Abort:
        return INTERRUPTED
    except ConfigError as error:
        complain(*error.lines)
        return FAILED
    except BadSpec as error:
        complain(*error.problems)
        return FAILED
    except BatchkeeperError as error:
        complain(str(error))
        return FAILED
    except SystemExit as end:  # rich and typer leave so when nobody reads what they print
        return end.code if isinstance(end.code, int) and end.code != 1 else _nobody_reads()
    return code if isinstance(code, int) else 0


def usage(error: typer.TyperException) -> str:
    """A usage error in one line: what is wrong, and where the right words stand."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "batchkeeper"
    said = " ".join(error.format_message().replace("Value error, ", "").split())
    for theirs, ours in _PLAINER:
        said = re.sub(theirs, ours, said)
    said = said[:1].lower() + said[1:].rstrip(".")
    stop = "" if said.endswith("?") else ":"
    return f"{said}{stop} see '{path} --help'"


def _nobody_reads() -> int:
    """Point stdout at nothing, so that Python's own flush at exit has nothing to complain of."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return NO_READER


def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """``sys.excepthook``: one line, and a file with the traceback to send along."""
    if issubclass(kind, KeyboardInterrupt):
        return
    text = "".join(traceback.format_exception(kind, error, trace))
    what = " ".join(f"{kind.__name__}: {error}".split())[:300]
    complain(
        f"this is a bug in batchkeeper ({redacted('', what)}): {_kept(str(redacted('', text)))}; "
        "please report it with that text, or try again with --debug to see it here"
    )


def _kept(text: str) -> str:
    """Where the traceback was written, as part of the sentence."""
    try:
        number, name = tempfile.mkstemp(prefix="batchkeeper-crash-", suffix=".txt")
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return f"its traceback could not be written ({error.strerror})"
    return f"its traceback is in {Path(name)}"
