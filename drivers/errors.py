"""The one error tree of the project.

    VeilightError                 anything that veilight refuses, with what, where and what to do
    ├── ConfigurationError        a setting is unknown, missing or out of range
    ├── DataError                 a data set is missing, damaged or of the wrong shape
    ├── ModelError                a model file or network that cannot be used
    ├── OpticsError               the optics were used out of order or with wrong shapes
    │   └── LimitError            a value beyond what an instrument or receiver may do
    ├── LedgerError               the ledger is missing, damaged or rolled back
    │   └── BudgetError           the ledger refuses: the budget would be exceeded
    ├── ProtocolError             a message that the protocol does not allow at this point
    ├── VerificationError         the returned light failed its tests; the session is aborted
    └── OutputError               a result cannot be written

A message names the thing, the quantity, the value with its unit, the limit, and what to do next.
"""

__all__ = [
    "BudgetError",
    "ConfigurationError",
    "DataError",
    "LedgerError",
    "LimitError",
    "ModelError",
    "OpticsError",
    "OutputError",
    "ProtocolError",
    "VeilightError",
    "VerificationError",
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
