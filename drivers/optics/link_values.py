"""What each party's optics have to know before a block can be sent: calibrated values.

Routines measure them (`calibration`); `drivers.optics` uses them. Each party has its own: nothing
of the client's enters the server's decisions.
"""

import math
from dataclasses import dataclass, fields

from drivers.errors import ConfigurationError

__all__ = ["ClientValues", "ServerValues"]


@dataclass(frozen=True, kw_only=True)
class ServerValues:
    """The server's side of a bench.

    Args:
        weight_v_pi_v: V_pi of the weight modulator's radio-frequency port.
        full_photons: mean photons per pulse at launch for relative amplitude 1, at
            `attenuation_db`.
        attenuation_db: setting of the attenuator at which that holds; the bench is run there.
        round_trip_delay_s: from the trigger to the first preamble slot in the return's record.
        forward_transmittance: from the launch to the client's receiver.
        return_transmittance: from the client's receiver to the server's detector.
        detection_efficiency: of a recorded quadrature: quantum efficiency, mode match squared,
            and 1/2 for a heterodyne record.
        electronic_noise_v2: variance of a matched-filter output without light, V^2.
        shot_noise_v2: variance that the oscillator's shot noise adds to it, V^2.
        phase_noise_rad: root-mean-square phase error that the tracking leaves.
        phase_variance_uncertainty_rad2: standard uncertainty of its square.
        gain_uncertainty: relative standard uncertainty of the round-trip amplitude gain.
        variance_uncertainty: relative standard uncertainty of the unit of variance.
        photons_uncertainty: relative standard uncertainty of `full_photons`.
        clock_offset: rate of the generator's slots against the digitiser's clock, minus 1.
        oscillator_power_w: reading of the oscillator's power meter when the shot noise was
            measured; 0 where there is no meter.
    """

    weight_v_pi_v: float
    full_photons: float
    attenuation_db: float
    round_trip_delay_s: float
    forward_transmittance: float
    return_transmittance: float
    detection_efficiency: float
    electronic_noise_v2: float
    shot_noise_v2: float
    phase_noise_rad: float = 0.0
    phase_variance_uncertainty_rad2: float = 0.0
    gain_uncertainty: float = 0.0
    variance_uncertainty: float = 0.0
    photons_uncertainty: float = 0.0
    clock_offset: float = 0.0
    oscillator_power_w: float = 0.0

    def __post_init__(self) -> None:
        _check(self, above_zero=("weight_v_pi_v", "full_photons", "shot_noise_v2"))

    @property
    def vacuum_noise_v2(self) -> float:
        """Variance of a matched-filter output that holds vacuum, V^2."""
        return self.shot_noise_v2 + self.electronic_noise_v2

    @property
    def electronic_noise_snu(self) -> float:
        """Electronic noise in shot-noise units."""
        return self.electronic_noise_v2 / self.shot_noise_v2


@dataclass(frozen=True, kw_only=True)
class ClientValues:
    """The client's side of a bench.

    Args:
        data_v_pi_v: V_pi of the data modulator's radio-frequency port.
        forward_delay_s: from the trigger to the first preamble slot in the client's record.
        oscillator_delay_s: from the trigger to the first sample of the oscillator's drive at the
            detector, at generator delay 0.
        clock_offset: rate of the server's slots against the client's clock, minus 1.
        electronic_noise_v2: variance of a matched-filter output without light, V^2.
        shot_noise_v2: variance that the oscillator's shot noise adds at full level, V^2.
        data_leak: amplitude that the data modulator passes in quadrature at its null, relative to
            full level; it beats with what leaks through the weight modulator.
        signal_gain: mean of a recorded outcome per (launched means . data).
        phase_noise_rad: root-mean-square phase error that the tracking leaves.
        oscillator_power_w: reading of the oscillator's power meter at full level when the shot
            noise was measured; 0 where there is no meter.
    """

    data_v_pi_v: float
    forward_delay_s: float
    oscillator_delay_s: float
    clock_offset: float
    electronic_noise_v2: float
    shot_noise_v2: float
    signal_gain: float
    data_leak: float = 0.0
    phase_noise_rad: float = 0.0
    oscillator_power_w: float = 0.0

    def __post_init__(self) -> None:
        _check(self, above_zero=("data_v_pi_v", "shot_noise_v2", "signal_gain"))

    @property
    def electronic_noise_snu(self) -> float:
        """Electronic noise in shot-noise units, at full oscillator level."""
        return self.electronic_noise_v2 / self.shot_noise_v2


def _check(values: ServerValues | ClientValues, above_zero: tuple[str, ...]) -> None:
    """Refuse values that are not finite, or not above zero where they must be."""
    for entry in fields(values):
        value = getattr(values, entry.name)
        if not math.isfinite(value) or (entry.name in above_zero and value <= 0):
            wanted = "finite and above 0" if entry.name in above_zero else "finite"
            raise ConfigurationError(
                f"calibrated {entry.name} is {value}, it must be {wanted}; calibrate again"
            )
