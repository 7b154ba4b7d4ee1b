"""The command line `veilight`: what people type, and how errors become one line and a status.

Heavy packages are imported by the commands that need them, so that `--help` answers at once.
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence

from drivers.errors import VeilightError
from veilight.cli._exit_codes import ExitCode, exit_code_for
from veilight.signals import Interruption, Terminated, signals_as_interrupts

__all__ = ["ExitCode", "main"]

TRACEBACK_VARIABLE = "VEILIGHT_TRACEBACK"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Ctrl-C, SIGTERM and SIGHUP stop it in the safe state; a second signal does not break that off.

    Args:
        arguments: what follows the program's name; None takes those of the process.

    Returns:
        The exit status, one of `ExitCode`.
    """
    # What is logged is raised as well, and shown as a result or as the one line of an error.
    logging.getLogger("veilight").addHandler(logging.NullHandler())
    with signals_as_interrupts() as interruption:
        return _answered(list(sys.argv[1:] if arguments is None else arguments), interruption)


def _answered(arguments: list[str], interruption: Interruption) -> int:
    """Run, and turn what is raised into one line and a status."""
    try:
        return _run(arguments)
    except BrokenPipeError:
        # Whoever read the output has left; a second error at exit would only confuse.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OUTPUT
    except KeyboardInterrupt as error:
        # The packages that read the command line forget what kind of interruption it was.
        kind = Terminated() if interruption.terminated else error
        word = "terminated" if interruption.terminated else "interrupted"
        return _failed(error, f"{word}; nothing is left half-written", exit_code_for(kind))
    except VeilightError as error:
        return _failed(error, str(error))
    except Exception as error:
        message = f"unexpected {type(error).__name__}: {error}"
        hint = f"set {TRACEBACK_VARIABLE}=1 to see where, and report it"
        return _failed(error, f"{message}; {hint}")


def _run(arguments: list[str]) -> int:
    import typer

    from veilight.cli._app import app

    command = typer.main.get_command(app)
    try:
        status = command.main(arguments, prog_name="veilight", standalone_mode=False)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except Exception as error:
        # Usage errors carry their own text; where their class lives differs between versions.
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        text = explain().strip()
        if not text:
            # A group without a command: its help has been shown.
            return ExitCode.USAGE
        stop = "" if text.endswith((".", "?", "!")) else "."
        command_path = getattr(getattr(error, "ctx", None), "command_path", "veilight")
        return _failed(error, f"{text}{stop} See `{command_path} --help`.", ExitCode.USAGE)
    if status == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    return int(status or 0)


def _failed(error: BaseException, message: str, status: ExitCode | None = None) -> int:
    """One line on the standard error, the traceback only where it is asked for."""
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        traceback.print_exception(error)
    sys.stderr.write(f"veilight: {' '.join(message.split())}\n")
    return exit_code_for(error) if status is None else status
