"""Carries out the faults of a plan that hit the optics themselves.

Owns the installation of the parts that can fail, and the laser faults, which begin and end at a
moment: it looks at every step of the simulated clock, so that they also come within a shot.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from drivers.errors import ConfigurationError
from sim_backend.instruments.faults import Fault, FaultFinder, FaultKind, FaultPlan
from sim_backend.instruments.faulty_parts import FailingDetector, FailingFibre, oscillator_kept
from sim_backend.instruments.intruders import KnownSlots
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.lasers import LaserSource
from sim_backend.scene.reference import ReferenceScene

__all__ = ["TARGETS", "SceneFaults", "check_target"]

_LASERS = ("laser", "oscillator", "return_oscillator")
_SPANS = ("forward", "back")
_PARTIES = ("client", "server")
_GENERATORS = ("weight_generator", "data_generator")
_DIGITISERS = ("tap_digitiser", "return_digitiser")
_BIASES = ("weight_bias", "data_bias")
_INSTRUMENTS = (
    *_LASERS,
    *_GENERATORS,
    *_DIGITISERS,
    *_BIASES,
    "attenuator",
    "launch_power_meter",
    "oscillator_power_meter",
    "server.oscillator_power_meter",
    "client.oscillator_power_meter",
    "polarisation",
    "return_polarisation",
    "signal_switch",
    "return_switch",
    "tap_phase",
    "return_phase",
    "amplifier",
    "mesh_driver",
)
_LASER_FAULTS = (FaultKind.LASER_UNLOCK, FaultKind.LASER_MODE_HOP, FaultKind.WAVELENGTH_STEP)
TARGETS: Final[Mapping[FaultKind, tuple[str, ...]]] = {
    **dict.fromkeys(_LASER_FAULTS, _LASERS),
    FaultKind.INTERLOCK_OPEN: _LASERS,
    FaultKind.FIBRE_UNPLUGGED: _SPANS,
    FaultKind.FIBRE_DIRTY: _SPANS,
    FaultKind.POLARISATION_FLIP: _SPANS,
    FaultKind.LIGHT_REAMPLIFIED: _SPANS,
    FaultKind.LIGHT_RESENT: _SPANS,
    FaultKind.LIGHT_DELAYED: _SPANS,
    FaultKind.LIGHT_BRIGHTENED: _SPANS,
    FaultKind.LIGHT_ADDED: _SPANS,
    FaultKind.VACUUM_BRIGHTENED: _SPANS,
    FaultKind.DATA_SHIFTED: _SPANS,
    FaultKind.DETECTOR_BLINDED: _PARTIES,
    FaultKind.OSCILLATOR_LOST: _PARTIES,
    FaultKind.OSCILLATOR_LOW: _PARTIES,
    FaultKind.CLOCK_SLIP: _DIGITISERS,
    FaultKind.REFERENCE_LOST: (*_DIGITISERS, *_GENERATORS),
    FaultKind.TRIGGER_LOST: (*_DIGITISERS, *_GENERATORS),
    FaultKind.TRACE_NAN: _DIGITISERS,
    FaultKind.TRACE_CONSTANT: _DIGITISERS,
    FaultKind.TRACE_SHORT: _DIGITISERS,
    FaultKind.TRACE_CLIPPED: _DIGITISERS,
    FaultKind.TRACE_DUPLICATED: _DIGITISERS,
    FaultKind.TRACE_STUCK_BIT: _DIGITISERS,
    FaultKind.TRACE_OFFSET_RAMP: _DIGITISERS,
    FaultKind.SETTING_IGNORED: _INSTRUMENTS,
    FaultKind.TIME_OUT: _INSTRUMENTS,
    FaultKind.BIAS_UNLOCK: _BIASES,
    FaultKind.OUTPUT_STUCK_OFF: _GENERATORS,
}
"""What can have each kind of fault on the reference bench."""


def check_target(fault: Fault) -> None:
    """Refuse a fault of something that the reference bench does not have.

    Raises:
        ConfigurationError: it is one.
    """
    known = TARGETS[fault.kind]
    if fault.target not in known:
        raise ConfigurationError(
            f"fault {fault.kind}: the reference bench has no {fault.target!r} that could have it; "
            f"choose one of {', '.join(known)}"
        )


class SceneFaults:
    """The faults of one reference scene.

    Args:
        scene: its fibres and detectors are replaced by ones that can fail.
        lasers: the scene's lasers by role.
        plan: what is wrong when; may grow while the bench runs.
        clock: simulated time.
    """

    def __init__(
        self,
        scene: ReferenceScene,
        *,
        lasers: Mapping[str, LaserSource],
        plan: FaultPlan,
        clock: SimulatedClock,
    ) -> None:
        self._lasers = dict(lasers)
        self._plan = plan
        self._clock = clock
        self._undo: dict[Fault, Callable[[], None]] = {}
        self._fibres = {
            "forward": FailingFibre(
                scene.forward_fibre,
                self.finder("forward"),
                rng=scene.random_stream("intruder there"),
            ),
            "back": FailingFibre(
                scene.return_fibre, self.finder("back"), rng=scene.random_stream("intruder back")
            ),
        }
        scene.forward_fibre, scene.return_fibre = self._fibres["forward"], self._fibres["back"]
        scene.client_detector = FailingDetector(scene.client_detector, self.finder("client"))
        scene.server_detector = FailingDetector(scene.server_detector, self.finder("server"))
        clock.on_advance(lambda _: self.update())

    def finder(self, *targets: str) -> FaultFinder:
        """What is wrong with a part now, asked by kind; a part may have several names."""

        def find(kind: FaultKind) -> Fault | None:
            now_s = self._clock.now()
            for target in targets:
                found = self._plan.active(kind, target, now_s)
                if found is not None:
                    return found
            return None

        return find

    def tell_slots(self, span: str, slots: KnownSlots) -> None:
        """Tell whoever sits at the end of a span which slots the bursts have.

        Raises:
            ConfigurationError: there is no such span.
        """
        if span not in self._fibres:
            raise ConfigurationError(
                f"there is no span {span!r}; choose one of {', '.join(self._fibres)}"
            )
        self._fibres[span].intruder.slots = slots

    def oscillator_kept(self, party: str) -> float:
        """Fraction of its power that the oscillator of a party has left at its detector."""
        return oscillator_kept(self.finder(party))

    def update(self) -> None:
        """Begin and end the faults of lasers."""
        now_s = self._clock.now()
        for role, source in self._lasers.items():
            opened = self._plan.active(FaultKind.INTERLOCK_OPEN, role, now_s) is not None
            if opened and source.emission():
                source.set_emission(False)
        for fault in tuple(self._undo):
            if fault not in self._plan.faults or not fault.is_active(now_s):
                self._undo.pop(fault)()
        for fault in self._plan.faults:
            if fault.kind in _LASER_FAULTS and fault.is_active(now_s) and fault not in self._undo:
                laser = self._lasers.get(fault.target)
                if laser is not None:
                    self._undo[fault] = _begin(fault, laser)


def _begin(fault: Fault, laser: LaserSource) -> Callable[[], None]:
    """Let a laser fail; what is returned mends it."""
    match fault.kind:
        case FaultKind.LASER_UNLOCK:
            return _unlock(laser, fault.amount)
        case FaultKind.LASER_MODE_HOP:
            return _hop(laser, fault.amount)
        case _:
            return _step(laser, fault.amount)


def _unlock(laser: LaserSource, factor: float) -> Callable[[], None]:
    sound_hz = laser.settings.linewidth_hz
    laser.settings = replace(laser.settings, linewidth_hz=sound_hz * factor)
    laser.unlocked = True

    def mend() -> None:
        laser.settings = replace(laser.settings, linewidth_hz=sound_hz)
        laser.unlocked = False

    return mend


def _hop(laser: LaserSource, step_hz: float) -> Callable[[], None]:
    sound = laser.settings
    laser.settings = replace(sound, mode_hop_hz=abs(step_hz))
    laser.force_mode_hop()
    laser.settings = sound
    # A fresh tuning brings a laser back onto its mode.
    return lambda: laser.set_wavelength_m(laser.wavelength_setpoint_m())


def _step(laser: LaserSource, step_m: float) -> Callable[[], None]:
    before_m = laser.wavelength_setpoint_m()
    wrong_m = before_m + step_m
    laser.set_wavelength_m(wrong_m)

    def mend() -> None:
        if laser.wavelength_setpoint_m() == wrong_m:  # nobody has tuned it since
            laser.set_wavelength_m(before_m)

    return mend
