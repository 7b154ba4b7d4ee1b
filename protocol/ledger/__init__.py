"""What each party has spent, on disk before any light is sent.

The server's `WeightLedger` counts photons per weight row and remembers how they were received, the
client's `DataLedger` counts bits per input.
Both only grow. A ledger that is missing, damaged, rolled back or of another model stops the run;
nothing here ever starts from zero by itself.
"""

from protocol.ledger._head import LedgerHead
from protocol.ledger._tested_sums import BlockTests, PooledTests, QuadratureSums
from protocol.ledger._weight_budget import bits_with_block
from protocol.ledger.data import DataEntry, DataLedger, DataTotals
from protocol.ledger.history import LedgerHistory, read_history, read_tests
from protocol.ledger.light import ChargeRule, LightChannel, RowLight
from protocol.ledger.weights import (
    LightCharge,
    ThresholdsCommitment,
    WeightEntry,
    WeightLedger,
    WeightTotals,
)

__all__ = [
    "BlockTests",
    "ChargeRule",
    "DataEntry",
    "DataLedger",
    "DataTotals",
    "LedgerHead",
    "LedgerHistory",
    "LightChannel",
    "LightCharge",
    "PooledTests",
    "QuadratureSums",
    "RowLight",
    "ThresholdsCommitment",
    "WeightEntry",
    "WeightLedger",
    "WeightTotals",
    "bits_with_block",
    "read_history",
    "read_tests",
]
