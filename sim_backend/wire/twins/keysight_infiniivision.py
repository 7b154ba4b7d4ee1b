"""Twins of the Keysight InfiniiVision 3000T, 4000A and 6000A oscilloscopes.

Model of the acquisition: the record covers the time range with as many points as `:WAV:POIN` asks
for in the modes RAW and MAX (1000 in NORM), as far as the converter is fast enough. The eight
divisions are 199 of the 256 codes; codes 1 and 255 are the ends, 0 is a hole.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim_backend.instruments.parts import DigitiserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.scope import (
    SECONDS,
    VOLTS,
    Acquisition,
    Frame,
    Knobs,
    digitiser_parts,
    engineering,
    plugged_inputs,
)
from sim_backend.wire.scpi_session import (
    Answer,
    Call,
    Complaint,
    ErrorQueue,
    Handler,
    Later,
    ScpiSession,
    block,
)
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "KeysightInfiniiVisionTwin"]

_RATES: Final = {"MSO-X 3024T": 5e9, "DSO-X 4024A": 5e9, "DSO-X 6004A": 20e9}
_INPUTS = 4
_MEMORY = 4_000_000
_NORMAL_POINTS = 1000
_LEAST_POINTS = 100
_COUNTS = tuple(m * 10**e for e in range(2, 7) for m in (1, 2, 2.5, 5) if (m, e) not in _ODD) if (
    _ODD := {(2, 2), *((2.5, e) for e in range(3, 7))}
) else ()
