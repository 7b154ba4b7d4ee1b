"""The R&S RTO oscilloscope on its twin."""

from collections.abc import Callable

from drivers.detectors.rohde_schwarz_rto import MODELS, RohdeSchwarzRto
from drivers.instruments import Instrument
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.rohde_schwarz_rto import RohdeSchwarzRtoTwin
from tests.wire.scopes import scope_on_bench

__all__ = ["makers", "rto"]


def rto(bench: SimulatedBench, role: str = "tap_digitiser") -> RohdeSchwarzRto:
    """A closed driver on a twin that records the detector of a role of the client or server."""
    return scope_on_bench(
        RohdeSchwarzRto, MODELS[0], RohdeSchwarzRtoTwin, says="RTO", bench=bench, role=role
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"rohde-schwarz RTO": lambda: rto(SimulatedBench())}
