"""The one error tree of the project.

    VeilightError                 anything that veilight refuses, with what, where and what to do
    ├── ConfigurationError        a setting is unknown, missing or out of range
    ├── DataError                 a data set is missing, damaged or of the wrong shape
    ├── ModelError                a model file or network that cannot be used
    ├── OpticsError               the optics were used out of order or with wrong shapes
    │   ├── LimitError            a value beyond what an instrument or receiver may do
    │   └── TraceError            a recorded trace cannot be trusted
    │       ├── DriftError        records of several bursts, taken together, cannot be trusted
    │       ├── SynchronisationError  no frame was found where it must be, or more than one
    │       └── PhaseError        the phase between light and oscillator cannot be followed
    ├── InstrumentError           an instrument is closed, failed, or answered nonsense
    │   ├── LinkError             the link to an instrument is missing, broken or cut off
    │   │   └── LinkTimeoutError  no answer within the deadline
    │   ├── AnswerError           an answer that makes no sense, shown in hexadecimal
    │   ├── RefusedError          the instrument reports an error: the order was not carried out
    │   ├── OwnershipError        an instrument belongs to another process
    │   ├── ReadbackError         a setting was accepted but not applied
    │   └── SafetyError           an order of steps that could harm, or a safe state not reached
    │       └── WatchdogError     no second process watches over the light
    ├── CalibrationError          a calibration is missing, stale, of other instruments, or failed
    ├── LedgerError               the ledger is missing, damaged or rolled back
    │   └── BudgetError           the ledger refuses: the budget would be exceeded
    ├── ProtocolError             a message that the protocol does not allow at this point
    ├── VerificationError         the returned light failed its tests; the session is aborted
    └── OutputError               a result cannot be written

A message names the thing, the quantity, the value with its unit, the limit, and what to do next.
"""

__all__ = [
    "AnswerError",
    "BudgetError",
    "CalibrationError",
    "ConfigurationError",
    "DataError",
    "DriftError",
    "InstrumentError",
    "LedgerError",
    "LimitError",
    "LinkError",
    "LinkTimeoutError",
    "ModelError",
    "OpticsError",
    "OutputError",
    "OwnershipError",
    "PhaseError",
    "ProtocolError",
    "ReadbackError",
    "RefusedError",
    "SafetyError",
    "SynchronisationError",
    "TraceError",
    "VeilightError",
    "VerificationError",
    "WatchdogError",
]


class VeilightError(Exception):
    """Base of all errors that veilight raises on purpose."""


class ConfigurationError(VeilightError):
    """A setting is unknown, missing or out of range."""


class DataError(VeilightError):
    """A data set is missing, damaged or of the wrong shape."""


class ModelError(VeilightError):
    """A model file or network that cannot be used."""


class OpticsError(VeilightError):
    """The optics were used out of order or with wrong shapes."""


class LimitError(OpticsError):
    """A value beyond what an instrument or receiver may do."""


class TraceError(OpticsError):
    """A recorded trace cannot be trusted."""


class DriftError(TraceError):
    """Records of several bursts, taken together, cannot be trusted.

    Args:
        message: what was found.
        earlier: bursts before the last one that were taken together with it.
    """

    def __init__(self, message: str, *, earlier: int = 0) -> None:
        super().__init__(message)
        self.earlier = earlier


class SynchronisationError(TraceError):
    """No frame was found where it must be, or more than one."""


class PhaseError(TraceError):
    """The phase between light and oscillator cannot be followed."""


class InstrumentError(VeilightError):
    """An instrument is closed, failed, or answered nonsense."""


class LinkError(InstrumentError):
    """The link to an instrument is missing, broken or cut off."""


class LinkTimeoutError(LinkError, TimeoutError):
    """No answer within the deadline."""


class AnswerError(InstrumentError):
    """An answer that makes no sense, shown in hexadecimal."""


class RefusedError(InstrumentError):
    """The instrument reports an error: the order was not carried out."""


class OwnershipError(InstrumentError):
    """An instrument belongs to another process."""


class ReadbackError(InstrumentError):
    """A setting was accepted but not applied."""


class SafetyError(InstrumentError):
    """An order of steps that could harm, or a safe state that was not reached."""


class WatchdogError(SafetyError):
    """No second process watches over the light, so that none may be switched on."""


class CalibrationError(VeilightError):
    """A calibration is missing, stale, of other instruments, or failed."""


class LedgerError(VeilightError):
    """The ledger is missing, damaged or rolled back."""


class BudgetError(LedgerError):
    """The ledger refuses: the budget would be exceeded."""


class ProtocolError(VeilightError):
    """A message that the protocol does not allow at this point."""


class VerificationError(VeilightError):
    """The returned light failed its tests; the session is aborted."""


class OutputError(VeilightError):
    """A result cannot be written."""
