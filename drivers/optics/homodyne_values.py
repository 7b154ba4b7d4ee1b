"""What both ends of a homodyne bench agree on and know of their phase shifters."""

import math
from dataclasses import dataclass, field, replace

from drivers.backend import Block
from drivers.errors import ConfigurationError
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.burst import BurstFormat, BurstLayout
from drivers.optics.homodyne_lock import LockLimits
from drivers.optics.link_values import ClientValues, ServerValues
from drivers.receivers import PassiveTap

__all__ = ["HomodyneSettings", "check_homodyne_frames", "one_input", "probe_layout"]

_PROBE_SPACING = 2
_PROBE_VACUUM = 512
_PHASE_MARGIN = 2.0
_HARMLESS_PHASE_RAD = 0.08


@dataclass(frozen=True, kw_only=True)
class HomodyneSettings:
    """What a homodyne bench is run with.

    `detection_efficiency` and `signal_gain` of the values are those of homodyne detection: no half
    of the light is lost to the other quadrature.

    Args:
        receiver: the tap and its fraction.
        frames: what both ends agreed on, with an intermediate frequency of 0.
        server: the server's calibrated values.
        client: the client's calibrated values.
        return_phase_v_pi_v: voltage of a phase of pi of the server's phase shifter.
        tap_phase_v_pi_v: likewise of the client's.
        limits: of both phase locks; see `limits_for`.

    Raises:
        ConfigurationError: frames with an intermediate frequency, or a voltage not above 0.
    """

    receiver: PassiveTap
    frames: BenchFrames
    server: ServerValues
    client: ClientValues
    return_phase_v_pi_v: float
    tap_phase_v_pi_v: float
    limits: LockLimits = field(default_factory=LockLimits)

    def __post_init__(self) -> None:
        check_homodyne_frames(self.frames)
        for name in ("return_phase_v_pi_v", "tap_phase_v_pi_v"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(
                    f"calibrated {name} is {value}, it must be finite and above 0; calibrate again"
                )

    def limits_for(self, phase_noise_rad: float) -> LockLimits:
        """The limits of a lock whose phase was calibrated: twice that error is too much.

        Args:
            phase_noise_rad: calibrated, root mean square; 0 if it was not.
        """
        if not phase_noise_rad:
            return self.limits
        alarm = max(_PHASE_MARGIN * phase_noise_rad, _HARMLESS_PHASE_RAD)
        return replace(self.limits, largest_rms_rad=min(self.limits.largest_rms_rad, alarm))


def check_homodyne_frames(frames: BenchFrames) -> None:
    """Refuse an agreement that has an intermediate frequency.

    Raises:
        ConfigurationError: it has one.
    """
    cycles = frames.format.if_cycles_per_symbol
    if cycles != 0:
        raise ConfigurationError(
            f"the burst format has {cycles:g} cycles of an intermediate frequency per symbol; "
            "homodyne detection needs 0"
        )


def probe_layout(burst: BurstFormat) -> BurstLayout:
    """The burst that probes the phase: preamble, pilots and vacuum, one dark datum.

    Args:
        burst: the format of bursts of data.
    """
    return BurstLayout(
        format=replace(burst, pilot_spacing=_PROBE_SPACING, least_vacuum_slots=_PROBE_VACUUM),
        data_symbols=1,
    )


def one_input(block: Block) -> Block:
    """The part of a block that one burst carries: a single data vector."""
    return replace(block, inputs=1)
