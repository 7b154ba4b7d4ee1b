"""What each party has spent, on disk before any light is sent.

The server's `WeightLedger` counts photons per weight row, the client's `DataLedger` bits per input.
Both only grow. A ledger that is missing, damaged, rolled back or of another model stops the run;
nothing here ever starts from zero by itself.
"""

from protocol.ledger._head import LedgerHead
from protocol.ledger.data import DataEntry, DataLedger, DataTotals
from protocol.ledger.history import LedgerHistory, read_history
from protocol.ledger.weights import (
    BitsPerWeight,
    ThresholdsCommitment,
    WeightEntry,
    WeightLedger,
    WeightTotals,
)

__all__ = [
    "BitsPerWeight",
    "DataEntry",
    "DataLedger",
    "DataTotals",
    "LedgerHead",
    "LedgerHistory",
    "ThresholdsCommitment",
    "WeightEntry",
    "WeightLedger",
    "WeightTotals",
    "read_history",
]
