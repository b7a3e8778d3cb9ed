"""The one place where errors become a line on stderr and an exit code.

What a user or the network can cause is one line, `logq: what, why, what to do`, made safe for terminals. Anything else
is a bug and says so; `LOGQ_DEBUG=1` shows its traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

import click

from console.errors import LogqError, Stopped
from console.text import safe

FAILED = 1
STOPPED = Stopped.exit_code
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EIO, errno.EBADF})


def complain(message: str) -> None:
    """Write one safe line to stderr; a closed stderr is no reason to fail."""
    try:
        sys.stderr.write(f"logq: {safe(message)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def _replace_closed_streams() -> None:
    """Stand-ins for standard streams that were closed: Python has None for them, and a socket could get their number.

    Input is at its end, and stderr takes everything. Stdout refuses what is written, as any command's closed output
    does: an answer that nobody gets is no success.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def guarded(argv: Sequence[str] | None) -> int:
    """Run the command line and return the exit code, whatever happens in it."""
    _replace_closed_streams()
    from console.cli.app import root
    from console.cli.run import Run

    run = Run()
    try:
        code = root.main(args=None if argv is None else list(argv), prog_name="logq", standalone_mode=False, obj=run)
        return code if isinstance(code, int) else 0
    except LogqError as error:
        complain(str(error))
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        complain(_usage(error))
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):  # before or after a command's own work
        complain("stopped")
        return STOPPED
    except BrokenPipeError:
        return FAILED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _UNWRITABLE:  # click's own help and version
            complain(f"cannot write the output: {error.strerror}")
            return FAILED
        if os.environ.get("LOGQ_DEBUG"):
            import traceback

            traceback.print_exc()
        complain(
            f"{type(error).__name__}: {error}: this is a bug in logq; LOGQ_DEBUG=1 shows the traceback for a report"
        )
        return FAILED
    finally:
        run.close()
        _let_go_of_stdout()


def _usage(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    return f"{message} (see {context.command_path} --help)" if isinstance(context, click.Context) else message


def _let_go_of_stdout() -> None:
    """Flush what is left; when nobody takes it, point stdout at nothing, so that the interpreter's end is quiet too."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
        except (OSError, ValueError):
            pass
