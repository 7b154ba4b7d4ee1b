"""Roles, settings and the kind of routine that all calibrations of the reference bench share."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from calibration.result import Setting
from calibration.routine import Routine

__all__ = [
    "ATTENUATOR",
    "BIASES",
    "DIGITISERS",
    "GENERATORS",
    "OWN_OSCILLATORS",
    "PARTIES",
    "PHASES",
    "PHASE_SHIFTERS",
    "POWER_SETTINGS",
    "STAGE_SETTINGS",
    "SWITCHES",
    "Modulator",
    "Party",
    "StagedRoutine",
]

Party = Literal["client", "server"]
Modulator = Literal["weight", "data"]

PARTIES: Final[tuple[Party, Party]] = ("client", "server")

OWN_OSCILLATORS: Final[Mapping[Party, str]] = MappingProxyType(
    {"client": "client.oscillator", "server": "server.return_oscillator"}
)
"""Role of each party's own oscillator; absent where the server's laser feeds both."""

STAGE_SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        "server_laser_w": 10e-3,
        "client_oscillator_w": 5e-3,
        "server_oscillator_w": 2e-3,
        "settle_s": 2.0,
        "timeout_s": 60.0,
        "client_range_v": 1.0,
        "server_range_v": 1.0,
        "symbol_rate_hz": 100e6,
        "samples_per_symbol": 8,
        "if_cycles_per_symbol": 2.0,
    }
)
"""Settings of every routine that uses a stage: the light, waiting times, ranges, the format."""

POWER_SETTINGS: Final = MappingProxyType(
    {
        "server.laser": "server_laser_w",
        OWN_OSCILLATORS["server"]: "server_oscillator_w",
        OWN_OSCILLATORS["client"]: "client_oscillator_w",
    }
)
"""Lasers in the order in which they are switched on, and the setting of their power."""
GENERATORS: Final[Mapping[Modulator, str]] = MappingProxyType(
    {"weight": "server.weight_generator", "data": "client.data_generator"}
)
BIASES: Final[Mapping[Modulator, str]] = MappingProxyType(
    {"weight": "server.weight_bias", "data": "client.data_bias"}
)
SWITCHES: Final[Mapping[Party, str]] = MappingProxyType(
    {"client": "client.signal_switch", "server": "server.return_switch"}
)
DIGITISERS: Final[Mapping[Party, str]] = MappingProxyType(
    {"client": "client.tap_digitiser", "server": "server.return_digitiser"}
)
ATTENUATOR: Final = "server.attenuator"
PHASES: Final[Mapping[Party, str]] = MappingProxyType(
    {"client": "client.tap_phase", "server": "server.return_phase"}
)
"""Driver of the phase shifter in each party's oscillator, with homodyne detection."""
PHASE_SHIFTERS: Final = "phase_shifters"
"""Routine that measures V_pi of both."""


class StagedRoutine(Routine):
    """A routine that uses a stage.

    Args:
        shared_oscillators: the bench has no lasers for the oscillators, so they are no roles of it.
        homodyne: the bench has phase shifters in its oscillators: they are roles of every routine
            that records light, which needs their V_pi.
    """

    def __init__(self, *, shared_oscillators: bool = False, homodyne: bool = False) -> None:
        if shared_oscillators:
            kept = [role for role in self.roles if role not in OWN_OSCILLATORS.values()]
            self.roles = tuple(kept)  # type: ignore[misc]  # the class has those of a full bench
        # V_pi of the modulators is measured by power meters, without a detector.
        if homodyne and {ATTENUATOR, *DIGITISERS.values()} <= set(self.roles):
            self.roles = (*self.roles, *PHASES.values())  # type: ignore[misc]
            if self.name != PHASE_SHIFTERS:
                self.needs = (*self.needs, PHASE_SHIFTERS)  # type: ignore[misc]
