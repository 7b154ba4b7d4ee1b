"""The keys of a bench file, section by section; units are in the keys.

Types and ranges of single values are checked here, what several sections say together in
`drivers.bench.files`. What a model can do and what a scene takes is checked by those.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from drivers.bench.roles import Detection, Oscillator, Party, ReceiverName

if TYPE_CHECKING:
    from drivers.optics.burst import BurstFormat

__all__ = [
    "INCOMING",
    "BenchSection",
    "DetectorSafety",
    "FrameSection",
    "InstrumentSection",
    "LightPath",
    "MonitorSafety",
    "SafetySection",
    "SceneSection",
    "Section",
]

INCOMING = "incoming"
"""Source of the light that the other party sends."""

_Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=100)]
_Positive: TypeAlias = Annotated[float, Field(gt=0)]
_NotNegative: TypeAlias = Annotated[float, Field(ge=0)]
_Count: TypeAlias = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """What all sections have in common: no unknown keys, no conversions, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class BenchSection(Section):
    """Whose bench it is and how it is built.

    `receiver_setting` is the tapped fraction of a tap, or the power gain of the amplifier.
    `detection` is heterodyne (a beat holds both quadratures) or homodyne (phase shifters in the
    oscillators choose one). `twin` says that emulators are behind the addresses; results are then
    marked as simulated. `twin_speed` is how fast their time runs, and with it the waiting here.
    """

    name: _Name
    party: Party
    receiver: ReceiverName = "passive-tap"
    receiver_setting: _Positive = 0.5
    oscillator: Oscillator = "own"
    detection: Detection = "heterodyne"
    twin: bool = False
    twin_speed: Annotated[float, Field(gt=0, le=1e4)] = 1.0


class InstrumentSection(Section):
    """One instrument: `limits` narrow the model's own, `settings` are the model's to read.

    `channel` is the port, slot or output of the box at `address` that the role uses.
    """

    model: _Name
    backend: Literal["sim", "visa", "serial"]
    address: _Name
    channel: Annotated[int, Field(ge=1, le=256)] = 1
    serial: str = ""
    limits: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)


class SceneSection(Section):
    """The simulated optics of a bench; `parameters` are the scene's to read."""

    name: _Name = "reference"
    parameters: dict[str, Any] = Field(default_factory=dict)


class LightPath(Section):
    """One way of light from a source to a detector.

    Args:
        source: role of a laser, or `incoming` for the light of the other party.
        loss_db: least loss of everything on the way that has no role, couplers included.
        through: roles of the attenuators, switches and amplifiers on the way, in the order in
            which the light meets them.
        power_dbm_max: most that can arrive; needed for `incoming`, refused for a laser.
    """

    source: _Name
    loss_db: _NotNegative
    through: tuple[_Name, ...] = Field(default=(), strict=False)
    power_dbm_max: float | None = None


class DetectorSafety(Section):
    """What a detector can stand and how light gets to it.

    Args:
        damage_w: damage level of its data sheet in W, per diode.
        light: every way of light to it.
    """

    damage_w: _Positive
    light: tuple[LightPath, ...] = Field(strict=False, min_length=1)


class MonitorSafety(Section):
    """A power meter that watches a laser: its reading is the laser's power behind `loss_db`."""

    source: _Name
    loss_db: _NotNegative


class SafetySection(Section):
    """How light is switched on, and what never to exceed.

    Args:
        ceiling_fraction: share of the damage level that may reach a detector.
        settle_s: wait after each step before the monitors are read.
        laser_timeout_s: longest wait for a laser to settle.
        lock_timeout_s: longest wait for a modulator bias to lock.
        lock_biases: lock the modulator biases to their nulls once there is light.
        ramp_steps: steps from a laser's lowest power to the power wanted.
        attenuator_step_db: largest step when the attenuator is opened.
        agreement_db: a monitor that reads more than this above the expected stops everything.
        watchdog: whether a second process must watch over the light of real instruments: it
            brings the bench to the safe state when the program dies or hangs. A bench of twins
            has one if the file says so.
        watchdog_timeout_s: longest silence between the two processes, either way.
        hang_s: longest time with light on in which the program uses no instrument and says nothing
            else of itself; after it the program is ended.
        detectors: every digitiser and power meter by role.
        monitors: power meters that watch a laser, by role.
    """

    ceiling_fraction: float = Field(default=0.5, gt=0, le=0.5)
    settle_s: _NotNegative = 0.01
    laser_timeout_s: _Positive = 60.0
    lock_timeout_s: _Positive = 10.0
    lock_biases: bool = True
    ramp_steps: int = Field(default=5, ge=1, le=1000)
    attenuator_step_db: _Positive = 10.0
    agreement_db: _Positive = 1.0
    watchdog: bool = True
    watchdog_timeout_s: float = Field(default=1.0, ge=0.2, le=60.0)
    hang_s: float = Field(default=60.0, ge=1.0, le=86400.0)
    detectors: dict[str, DetectorSafety] = Field(default_factory=dict)
    monitors: dict[str, MonitorSafety] = Field(default_factory=dict)


class FrameSection(Section):
    """The burst format: what is sent around the data; both parties must say the same.

    Args:
        symbol_rate_hz: optical modes per second.
        samples_per_symbol: of generators and digitisers.
        cycles_per_symbol: of the intermediate frequency, light minus oscillator.
        preamble_slots: length of the known sequence, 2^k - 1.
        pilot_spacing: every how many slots of the body one is a pilot.
        vacuum_spacing: every how many slots between pilots one is dark.
        least_vacuum_slots: dark slots of even the shortest burst.
        guard_slots: dark slots before and after.
        dark_slots: slots with the oscillator off, after the body.
        pilot_photons: mean photon number of a pilot at launch.
    """

    symbol_rate_hz: _Positive = 100e6
    samples_per_symbol: int = Field(default=8, ge=4)
    cycles_per_symbol: float = 2.0
    preamble_slots: _Count = 511
    pilot_spacing: int = Field(default=6, ge=2)
    vacuum_spacing: int = Field(default=32, ge=2)
    least_vacuum_slots: int = Field(default=1024, ge=2)
    guard_slots: int = Field(default=64, ge=1)
    dark_slots: int = Field(default=0, ge=0)
    pilot_photons: _Positive = 2000.0

    @property
    def sample_rate_hz(self) -> float:
        """Of the generators and the digitisers, nominal."""
        return self.symbol_rate_hz * self.samples_per_symbol

    def burst_format(self) -> "BurstFormat":
        """The same for the signal processing, with its usual pulse.

        Raises:
            ConfigurationError: values that make no burst together.
        """
        from drivers.optics.burst import BurstFormat
        from drivers.optics.pulses import hann_pulse

        return BurstFormat(
            symbol_rate_hz=self.symbol_rate_hz,
            samples_per_symbol=self.samples_per_symbol,
            if_cycles_per_symbol=self.cycles_per_symbol,
            preamble_slots=self.preamble_slots,
            pilot_spacing=self.pilot_spacing,
            vacuum_spacing=self.vacuum_spacing,
            least_vacuum_slots=self.least_vacuum_slots,
            guard_slots=self.guard_slots,
            dark_slots=self.dark_slots,
            pulse=hann_pulse(self.samples_per_symbol),
        )
