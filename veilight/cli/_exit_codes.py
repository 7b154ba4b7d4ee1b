"""What the program's exit status means, in one place."""

from enum import IntEnum

from drivers.errors import (
    CalibrationError,
    ConfigurationError,
    DataError,
    InstrumentError,
    LedgerError,
    ModelError,
    OpticsError,
    OutputError,
    ProtocolError,
    SafetyError,
    VerificationError,
)
from veilight.signals import Terminated

__all__ = ["EXIT_CODES_TEXT", "ExitCode", "exit_code_for"]


class ExitCode(IntEnum):
    """Exit status of `veilight`."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INPUT = 3
    LEDGER = 4
    VERIFICATION = 5
    OUTPUT = 6
    OPTICS = 7
    INSTRUMENT = 8
    UNSAFE = 9
    INTERRUPTED = 130
    TERMINATED = 143


_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "unexpected error",
    ExitCode.USAGE: "usage or configuration",
    ExitCode.INPUT: "data or model cannot be used",
    ExitCode.LEDGER: "ledger or budget refuses",
    ExitCode.VERIFICATION: "verification failed, session aborted",
    ExitCode.OUTPUT: "result cannot be written",
    ExitCode.OPTICS: "optics or protocol",
    ExitCode.INSTRUMENT: "instrument or calibration",
    ExitCode.UNSAFE: "refused for safety, or safe state not reached",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "terminated by a signal",
}

EXIT_CODES_TEXT = "Exit codes: " + "; ".join(
    f"{code.value} {meaning}" for code, meaning in _MEANINGS.items()
)

_BY_ERROR: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (ConfigurationError, ExitCode.USAGE),
    (DataError, ExitCode.INPUT),
    (ModelError, ExitCode.INPUT),
    (LedgerError, ExitCode.LEDGER),
    (VerificationError, ExitCode.VERIFICATION),
    (OutputError, ExitCode.OUTPUT),
    (OpticsError, ExitCode.OPTICS),
    (SafetyError, ExitCode.UNSAFE),
    (InstrumentError, ExitCode.INSTRUMENT),
    (CalibrationError, ExitCode.INSTRUMENT),
    (ProtocolError, ExitCode.OPTICS),
    (Terminated, ExitCode.TERMINATED),
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
)


def exit_code_for(error: BaseException) -> ExitCode:
    """The exit status that an error ends the program with."""
    for kind, code in _BY_ERROR:
        if isinstance(error, kind):
            return code
    return ExitCode.UNEXPECTED
