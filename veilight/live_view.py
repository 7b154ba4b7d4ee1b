"""What a running bench says about itself after every block, against its limits.

Readings come from the records that the run makes anyway and from the power meters; nothing is
measured for the view alone that could disturb the run.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drivers.errors import LimitError

if TYPE_CHECKING:
    from drivers.optics.bench_link import BenchLink
    from drivers.optics.receiver import Demodulated
    from veilight.bench_session import BenchPair

__all__ = ["Reading", "live_readings", "powers_of"]

LEAST_CLEARANCE_DB = 6.0
"""Below this electronic noise is worth a quarter of the shot noise."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One number of a running bench.

    Args:
        party: "server" or "client".
        name: of the quantity.
        value: in `unit`.
        unit: SI or SNU, "1" for a pure number.
        lowest: limit below which something is wrong; minus infinity for none.
        highest: limit above which something is wrong; infinity for none.
    """

    party: str
    name: str
    value: float
    unit: str
    lowest: float = -math.inf
    highest: float = math.inf

    @property
    def within(self) -> bool:
        """True if the value is a number between its limits."""
        return self.lowest <= self.value <= self.highest

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """Party, name, value, limits and state as text."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        limits = {
            (False, False): "",
            (True, False): f"at least {self.lowest:.4g}",
            (False, True): f"at most {self.highest:.4g}",
            (True, True): f"{self.lowest:.4g} to {self.highest:.4g}",
        }[(math.isfinite(self.lowest), math.isfinite(self.highest))]
        state = "ok" if self.within else "LIMIT"
        return self.party, self.name, f"{self.value:.4g}{unit}", limits, state


def live_readings(link: "BenchLink", pair: "BenchPair") -> tuple[Reading, ...]:
    """All readings after a block; those of a party appear once it has a record.

    Args:
        link: the running link.
        pair: its benches.
    """
    settings = link.settings
    gains = {
        "server": math.sqrt(
            settings.server.forward_transmittance
            * settings.receiver.returned_transmittance
            * settings.server.return_transmittance
            * settings.server.detection_efficiency
        ),
        "client": settings.client.signal_gain,
    }
    records = {"server": link.server.last, "client": link.client.last}
    calibrated = {
        "server": settings.server.shot_noise_v2,
        "client": settings.client.shot_noise_v2,
    }
    found: list[Reading] = []
    for party, record in records.items():
        found.extend(powers_of(party, pair))
        if record is not None:
            pilot = 2 * math.sqrt(settings.frames.pilot_photons) * gains[party]
            found.extend(_of_record(party, record, calibrated[party], pilot))
    return tuple(found)


def powers_of(party: str, pair: "BenchPair") -> Iterator[Reading]:
    """What the power meters of a party read, against what their detectors stand.

    Args:
        party: "server" or "client".
        pair: open benches.
    """
    from drivers.instruments import PowerMeter

    bench = pair.server if party == "server" else pair.client
    for role, instrument in bench.instruments.items():
        if not isinstance(instrument, PowerMeter):
            continue
        safety = bench.file.content.safety
        detector = safety.detectors.get(role)
        ceiling = math.inf if detector is None else safety.ceiling_fraction * detector.damage_w
        try:
            power_w = instrument.power_w()
        except LimitError:  # beyond the meter's range: the reading says so by its state
            power_w = math.nan
        yield Reading(
            party=party, name=role.replace("_", " "), value=power_w, unit="W", highest=ceiling
        )


def _of_record(
    party: str, record: "Demodulated", calibrated_v2: float, pilot_snu: float
) -> Iterator[Reading]:
    from drivers.optics.receiver import ReceiverSettings

    limits = ReceiverSettings()
    noise = record.shot_noise
    allowed = max(limits.shot_noise_limit, 5 * noise.relative_uncertainty)
    yield Reading(
        party=party,
        name="shot noise / calibrated",
        value=noise.shot / calibrated_v2,
        unit="1",
        lowest=1 - allowed,
        highest=1 + allowed,
    )
    yield Reading(
        party=party,
        name="clearance",
        value=noise.clearance_db,
        unit="dB",
        lowest=LEAST_CLEARANCE_DB,
    )
    yield Reading(
        party=party,
        name="gain / calibrated",
        value=record.pilot_amplitude / pilot_snu,
        unit="1",
        lowest=1 - limits.pilot_limit,
        highest=1 + limits.pilot_limit,
    )
    if party == "server":  # the client's level changes from slot to slot
        spread = float(np.var(record.data.imag, dtype=np.float64))
        error = math.sqrt(2 / record.data.size + noise.relative_uncertainty**2)
        yield Reading(
            party=party,
            name="excess noise in P",
            value=spread - 1 - noise.electronic_snu,
            unit="SNU",
            lowest=-5 * error,
            highest=max(0.05, 5 * error),
        )
    yield Reading(
        party=party,
        name="phase error",
        value=math.sqrt(record.phase.mean_variance_rad2),
        unit="rad",
        highest=math.sqrt(limits.phase_variance_limit_rad2),
    )
    yield Reading(
        party=party,
        name="clock offset",
        value=record.clock_offset * 1e6,
        unit="ppm",
        lowest=-limits.search.clock_limit * 1e6,
        highest=limits.search.clock_limit * 1e6,
    )
    yield Reading(party=party, name="linewidth", value=record.phase.linewidth_hz / 1e3, unit="kHz")
