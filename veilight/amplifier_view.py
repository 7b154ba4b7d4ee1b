"""What a running bench with an amplifier says about itself after every block.

Readings come from the records that the run makes anyway, from the power meters and from the
amplifier's monitor.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from veilight.live_view import Reading, powers_of

if TYPE_CHECKING:
    from drivers.optics.amplifier_optics import AmplifierBenchLink
    from drivers.optics.port_receiver import PortFrames
    from veilight.bench_session import BenchPair

__all__ = ["amplifier_readings"]

_TIMING_LIMIT_SLOTS = 0.125
"""Beyond it a record is refused."""
_NOISE_ERRORS = 8.0
"""Allowed deviation of a noise from n slots is this over sqrt(n): six to seven of its errors."""


def amplifier_readings(link: "AmplifierBenchLink", pair: "BenchPair") -> tuple[Reading, ...]:
    """All readings after a block; those of a party appear once it has a record.

    Of the server's ports the one that is furthest from its calibration is shown.

    Args:
        link: the running link.
        pair: its benches.
    """
    settings = link.settings
    server, client = settings.server, settings.client
    pilot = 2 * math.sqrt(settings.agreement.frames.pilot_photons)
    returned = server.forward_transmittance * settings.receiver.returned_transmittance
    returned *= server.return_transmittance * server.detection_efficiency
    slot_samples = settings.agreement.frames.format.samples_per_symbol
    slots = settings.agreement.frames.format.least_vacuum_slots
    found = list(powers_of("server", pair))
    if link.server.last:
        expected = pilot * math.sqrt(returned)
        worst = max(link.server.last, key=lambda one: abs(one.pilot_amplitude / expected - 1))
        found += _of_record("server", worst, expected, slot_samples)
        # The amplifier's noise comes back along the data, of unit length over all ports.
        amplified = server.return_transmittance * server.detection_efficiency
        amplified *= server.data_mode_excess_snu / settings.agreement.ports
        noise = 1 + server.electronic_noise_snu + amplified
        found.append(_vacuum("server", link.server.last, noise, slots))
    found += powers_of("client", pair)
    found += _amplifier(link, pair)
    if link.client.last is not None:
        last = link.client.last
        found += _of_record("client", last, pilot * client.signal_gain, slot_samples)
        found.append(_vacuum("client", (last,), client.outcome_variance_snu, slots))
    return tuple(found)


def _vacuum(
    party: str, records: "Sequence[PortFrames]", expected_snu: float, slots: int
) -> Reading:
    """Noise of the vacuum slots, mean of all detectors, over its calibration."""
    mean_snu = sum(one.vacuum_snu for one in records) / len(records)
    allowed = _NOISE_ERRORS / math.sqrt(slots * len(records))
    return Reading(
        party=party,
        name="vacuum noise / calibrated",
        value=mean_snu / expected_snu,
        unit="1",
        lowest=1 - allowed,
        highest=1 + allowed,
    )


def _amplifier(link: "AmplifierBenchLink", pair: "BenchPair") -> Iterator[Reading]:
    from drivers.instruments import OpticalAmplifier

    amplifier = pair.client.get("amplifier", OpticalAmplifier)
    seed = amplifier.limits.seed_power_w
    yield Reading(
        party="client",
        name="amplifier seed",
        value=amplifier.seed_power_w(),
        unit="W",
        lowest=seed.lowest,
        highest=seed.highest,
    )
    agreed_db, tolerance_db = link.settings.client.gain_db, amplifier.gain_tolerance_db
    yield Reading(
        party="client",
        name="amplifier gain",
        value=amplifier.gain_db(),
        unit="dB",
        lowest=agreed_db - tolerance_db,
        highest=agreed_db + tolerance_db,
    )


def _of_record(
    party: str, record: "PortFrames", pilot_snu: float, slot_samples: int
) -> Iterator[Reading]:
    from drivers.optics.receiver import ReceiverSettings

    limits = ReceiverSettings()
    yield Reading(
        party=party,
        name="gain / calibrated",
        value=record.pilot_amplitude / pilot_snu,
        unit="1",
        lowest=1 - limits.pilot_limit,
        highest=1 + limits.pilot_limit,
    )
    yield Reading(
        party=party,
        name="phase error",
        value=math.sqrt(record.phase.mean_variance_rad2),
        unit="rad",
        highest=math.sqrt(limits.phase_variance_limit_rad2),
    )
    allowed = _TIMING_LIMIT_SLOTS * slot_samples
    yield Reading(
        party=party,
        name="timing error",
        value=record.timing_error_samples,
        unit="samples",
        lowest=-allowed,
        highest=allowed,
    )
    yield Reading(party=party, name="linewidth", value=record.phase.linewidth_hz / 1e3, unit="kHz")
