"""How Santec's lasers write and read numbers in their two command sets."""

from dataclasses import dataclass

from sim_backend.wire.dialects.keysight_n77xx import n77xx_number
from sim_backend.wire.dialects.scpi_values import FREQUENCY_UNITS, LENGTH_UNITS
from sim_backend.wire.scpi_session import Call, Complaint

__all__ = ["SantecNumbers"]


@dataclass
class SantecNumbers:
    """The command set that is chosen.

    Args:
        scpi: metres and hertz with signs and exponents; else nanometres and terahertz.
    """

    scpi: bool = False

    def whole(self, value: int) -> str:
        """A whole number or a state, such as `+1` or `1`."""
        return f"{value:+d}" if self.scpi else f"{value:d}"

    def plain(self, value: float) -> str:
        """A number without such a unit, such as `+1.00000000E+001` or `10.00`."""
        return n77xx_number(value) if self.scpi else f"{value:.2f}"

    def speed(self, value: float) -> str:
        """A sweep speed in nm/s, which has a form of its own in both sets."""
        return f"{value:+.1f}" if self.scpi else f"{value:.1f}"

    def wavelength(self, value_m: float) -> str:
        """A wavelength, such as `+1.55000000E-006` or `1550.0000`."""
        return n77xx_number(value_m) if self.scpi else f"{value_m * 1e9:.4f}"

    def frequency(self, value_hz: float) -> str:
        """A frequency, such as `+1.93400000E+014` or `193.40000`."""
        return n77xx_number(value_hz) if self.scpi else f"{value_hz / 1e12:.5f}"

    def read_wavelength(self, call: Call) -> float:
        """A wavelength in m; units are known to the SCPI set only."""
        if not self.scpi:
            return _number(call) * 1e-9
        return _number(call, LENGTH_UNITS)

    def read_frequency(self, call: Call) -> float:
        """A frequency in Hz; units are known to the SCPI set only."""
        if not self.scpi:
            return _number(call) * 1e12
        return _number(call, FREQUENCY_UNITS)


def _number(call: Call, units: dict[str, float] | None = None) -> float:
    if len(call.arguments) > 1:
        raise Complaint(-108, "Parameter not allowed")
    return call.number(units)
