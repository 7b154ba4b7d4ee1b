"""What the ends of a bench with an amplifier agree on, and what each has to know of itself.

Routines measure the values (`calibration`); `amplifier_optics` uses them. Nothing of the client's
enters the server's decisions but the agreed receiver.
"""

import math
from dataclasses import dataclass, field

from drivers.backend import Block
from drivers.errors import ConfigurationError, LimitError
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.burst import BurstFormat, BurstLayout
from drivers.optics.mesh_model import MeshModel
from drivers.optics.port_burst import PortBurst

__all__ = ["AmplifierClientValues", "AmplifierServerValues", "PortAgreement", "port_format"]


def port_format() -> BurstFormat:
    """The usual burst of such a bench: a pilot every fourth slot, since a round takes all ports."""
    return BurstFormat(pilot_spacing=4)


@dataclass(frozen=True, kw_only=True)
class PortAgreement:
    """The public agreement of both parties: bursts of one data vector each.

    Args:
        ports: modes of the bench, a power of two.
        frames: burst format, pilots (per port), ranges, names; its largest frame is at most
            `ports`.

    Raises:
        ConfigurationError: frames of more modes than ports.
    """

    ports: int = 8
    frames: BenchFrames = field(
        default_factory=lambda: BenchFrames(
            format=port_format(), pilot_photons=200.0, modes_per_frame=8
        )
    )

    def __post_init__(self) -> None:
        if self.frames.modes_per_frame > self.ports:
            raise ConfigurationError(
                f"frames of {self.frames.modes_per_frame} modes on a bench of {self.ports} ports; "
                "a mode needs a port"
            )

    def burst(self, block: Block) -> PortBurst:
        """The burst of one data vector of a block: one slot per weight row.

        Raises:
            LimitError: longer than the instruments' memories.
        """
        return self.burst_of(block.rows, block.name)

    def burst_of(self, frames: int, name: str) -> PortBurst:
        """A burst of a number of frames.

        Args:
            frames: data slots.
            name: for messages.

        Raises:
            LimitError: longer than the instruments' memories.
        """
        layout = BurstLayout(format=self.frames.format, data_symbols=frames)
        if layout.total_samples > self.frames.largest_burst_samples:
            raise LimitError(
                f"{name}: the burst has {layout.total_samples:.4g} samples, the instruments hold "
                f"{self.frames.largest_burst_samples:.4g}; set rows_per_block lower"
            )
        return PortBurst(layout=layout, ports=self.ports)


@dataclass(frozen=True, kw_only=True)
class AmplifierServerValues:
    """The server's side.

    Args:
        weight_v_pi_v: V_pi of the modulators' radio-frequency ports.
        full_photons: per port, mean photons per slot at launch for relative amplitude 1, at
            `attenuation_db`.
        attenuation_db: setting of the attenuator at which that holds.
        round_trip_delay_s: from the trigger to the burst's first sample in the record.
        forward_transmittance: from the launch to the amplifier's input.
        return_transmittance: from the amplifier's output to the detectors.
        detection_efficiency: of a recorded quadrature: 1/2 for heterodyne included.
        electronic_noise_v2: per port, variance of a matched-filter output without light.
        shot_noise_v2: per port, what the oscillator's shot noise adds to it.
        data_mode_excess_snu: noise that an honest client's amplifier adds to the returned data
            mode, per quadrature, at the client's output.
        unitary_error_rad: how far an honest client's meshes may turn the data mode.
        phase_noise_rad: root-mean-square phase error that the tracking leaves.
        phase_variance_uncertainty_rad2: standard uncertainty of its square.
        gain_uncertainty: relative standard uncertainty of the round trip's amplitude gain.
        variance_uncertainty: relative standard uncertainty of the unit of variance.

    Raises:
        ConfigurationError: a value out of range, or ports that differ in number.
    """

    weight_v_pi_v: float
    full_photons: tuple[float, ...]
    attenuation_db: float
    round_trip_delay_s: float
    forward_transmittance: float
    return_transmittance: float
    detection_efficiency: float
    electronic_noise_v2: tuple[float, ...]
    shot_noise_v2: tuple[float, ...]
    data_mode_excess_snu: float
    unitary_error_rad: float = 0.0
    phase_noise_rad: float = 0.0
    phase_variance_uncertainty_rad2: float = 0.0
    gain_uncertainty: float = 0.0
    variance_uncertainty: float = 0.0

    def __post_init__(self) -> None:
        per_port = (self.full_photons, self.electronic_noise_v2, self.shot_noise_v2)
        if len({len(values) for values in per_port}) != 1:
            raise ConfigurationError(
                f"calibrated values for {', '.join(str(len(v)) for v in per_port)} ports; give one "
                "of each kind to every port"
            )
        _check_above_zero("weight_v_pi_v", self.weight_v_pi_v)
        for name in ("full_photons", "shot_noise_v2"):
            for value in getattr(self, name):
                _check_above_zero(name, value)

    @property
    def electronic_noise_snu(self) -> float:
        """Electronic noise in shot-noise units, mean of the ports."""
        pairs = zip(self.electronic_noise_v2, self.shot_noise_v2, strict=True)
        return sum(electronic / shot for electronic, shot in pairs) / len(self.shot_noise_v2)


@dataclass(frozen=True, kw_only=True)
class AmplifierClientValues:
    """The client's side.

    Args:
        mesh: the mesh in front of the amplifier.
        return_mesh: the mesh behind it.
        gain_db: setting of the amplifier.
        forward_delay_s: from the trigger to the burst's first sample in the record.
        shot_noise_v2: variance that the oscillator's shot noise adds to a matched-filter output.
        signal_gain: mean of a recorded outcome per (launched means . data).
        outcome_variance_snu: variance of a recorded outcome, all noise included.

    Raises:
        ConfigurationError: a value out of range, or meshes of different size.
    """

    mesh: MeshModel
    return_mesh: MeshModel
    gain_db: float
    forward_delay_s: float
    shot_noise_v2: float
    signal_gain: float
    outcome_variance_snu: float

    def __post_init__(self) -> None:
        if self.mesh.ports != self.return_mesh.ports:
            raise ConfigurationError(
                f"meshes of {self.mesh.ports} and {self.return_mesh.ports} ports cannot undo each "
                "other; calibrate those of one bench"
            )
        for name in ("shot_noise_v2", "signal_gain", "outcome_variance_snu"):
            _check_above_zero(name, getattr(self, name))


def _check_above_zero(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigurationError(
            f"calibrated {name} is {value}, it must be finite and above 0; calibrate again"
        )
