"""Homodyne detection: the link over a lit pair of benches, and what it says about itself."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from drivers.instruments import Attenuator, Digitiser, PhaseDriver, WaveformGenerator
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.homodyne_client import HomodyneClientInstruments
from drivers.optics.homodyne_link import HomodyneLink
from drivers.optics.homodyne_lock import PhaseLock
from drivers.optics.homodyne_receiver import HomodyneSlots
from drivers.optics.homodyne_server import HomodyneServerInstruments
from drivers.optics.homodyne_values import HomodyneSettings
from drivers.receivers import PassiveTap
from veilight.bench_runs import standing_instruments
from veilight.live_view import LEAST_CLEARANCE_DB, Reading, powers_of

if TYPE_CHECKING:
    from calibration.bench_values import BenchValues
    from veilight.bench_session import BenchPair

__all__ = ["homodyne_link", "homodyne_readings"]


def homodyne_link(pair: "BenchPair", values: "BenchValues", frames: BenchFrames) -> HomodyneLink:
    """Both ends on the instruments of benches whose light is on.

    Args:
        pair: the benches.
        values: of their calibration.
        frames: the agreement that both files state.
    """
    settings = HomodyneSettings(
        receiver=PassiveTap(tap_fraction=values.tap_fraction),
        frames=frames,
        server=values.server,
        client=values.client,
        return_phase_v_pi_v=values.phase_v_pi_v["server"],
        tap_phase_v_pi_v=values.phase_v_pi_v["client"],
    )
    return HomodyneLink(
        HomodyneServerInstruments(
            generator=pair.server.get("weight_generator", WaveformGenerator),
            attenuator=pair.server.get("attenuator", Attenuator),
            digitiser=pair.server.get("return_digitiser", Digitiser),
            phase=pair.server.get("return_phase", PhaseDriver),
            standing=standing_instruments(pair.server, "weight_bias"),
        ),
        HomodyneClientInstruments(
            generator=pair.client.get("data_generator", WaveformGenerator),
            digitiser=pair.client.get("tap_digitiser", Digitiser),
            phase=pair.client.get("tap_phase", PhaseDriver),
            standing=standing_instruments(pair.client, "data_bias"),
        ),
        settings,
        on_failure=pair.make_safe,
    )


def homodyne_readings(link: HomodyneLink, pair: "BenchPair") -> tuple[Reading, ...]:
    """All readings after a block; those of a party appear once it has a record.

    The quadratures of single bursts are not among them: the client may look on.

    Args:
        link: the running link.
        pair: its benches.
    """
    settings = link.settings
    ends = (
        ("server", link.server.last, settings.server.shot_noise_v2, link.server.lock),
        ("client", link.client.last, settings.client.shot_noise_v2, link.client.lock),
    )
    found: list[Reading] = []
    for party, record, calibrated_v2, lock in ends:
        found.extend(powers_of(party, pair))
        if record is not None:
            found.extend(_of_end(party, record, calibrated_v2, lock))
    return tuple(found)


def _of_end(
    party: str, record: HomodyneSlots, calibrated_v2: float, lock: PhaseLock
) -> Iterator[Reading]:
    noise = record.shot_noise
    allowed = max(0.01, 5 * noise.relative_uncertainty)
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
        name="phase error of the probes",
        value=lock.residual_rad,
        unit="rad",
        highest=lock.limits.largest_rms_rad,
    )
    yield Reading(
        party=party,
        name="pilots",
        value=lock.amplitude_v / math.sqrt(calibrated_v2),
        unit="SNU",
        lowest=0.0,
    )
