"""Parts of a scene that can fail: they stand in the place of the sound ones and pass light on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sim_backend.instruments.faults import FaultFinder, FaultKind
from sim_backend.instruments.intruders import Intruder
from sim_backend.scene.detectors import BalancedDetector
from sim_backend.scene.fibre import Fibre
from sim_backend.scene.light import FloatArray, Jones, Light, Window

__all__ = ["FailingDetector", "FailingFibre", "oscillator_kept"]


def oscillator_kept(fault: FaultFinder) -> float:
    """Fraction of its power that a local oscillator has left on the way to its detector."""
    if fault(FaultKind.OSCILLATOR_LOST) is not None:
        return 0.0
    low = fault(FaultKind.OSCILLATOR_LOW)
    return 1.0 if low is None else 1.0 - low.amount


class FailingFibre(Fibre):
    """A fibre that can be unplugged, dirty, turned in polarisation, or have an intruder at its end.

    Args:
        sound: the fibre in whose place it stands; its slow states live on in there.
        fault: what is wrong with it now.
        rng: source of the noise that an intruder adds.

    Attributes:
        intruder: at its end; does nothing as long as the plan says nothing.
    """

    def __init__(self, sound: Fibre, fault: FaultFinder, *, rng: np.random.Generator) -> None:
        self.settings = sound.settings
        self._sound = sound
        self._fault = fault
        self.intruder = Intruder(fault, rng=rng)

    def transmission(self) -> float:
        """Power transmission, connectors and faults included."""
        return self._sound.transmission() * self._kept()

    def matrix(self) -> Jones:
        """Polarisation rotation now, shape (2, 2), faults included."""
        turn = self._turn()
        return self._sound.matrix() if turn is None else turn @ self._sound.matrix()

    def age(self, duration_s: float) -> None:
        """Let phase and polarisation walk."""
        self._sound.age(duration_s)

    def begin(self, window: Window) -> None:
        """Start a shot: the fibre is dark."""
        self._sound.begin(window)
        self.intruder.begin(window)

    def block(self, light: Light) -> Light:
        """Send a block through; what comes out is delayed."""
        passed, kept, turn = self._sound.block(light), self._kept(), self._turn()
        if kept != 1.0:
            passed = passed.scaled(kept**0.5)
        passed = self.intruder.block(passed)
        return passed if turn is None else replace(passed, jones=turn @ passed.jones)

    def _kept(self) -> float:
        if self._fault(FaultKind.FIBRE_UNPLUGGED) is not None:
            return 0.0
        dirty = self._fault(FaultKind.FIBRE_DIRTY)
        return 1.0 if dirty is None else float(10.0 ** (-dirty.amount / 10))

    def _turn(self) -> Jones | None:
        flip = self._fault(FaultKind.POLARISATION_FLIP)
        if flip is None:
            return None
        cosine, sine = np.cos(flip.amount), np.sin(flip.amount)
        return np.array([[cosine, -sine], [sine, cosine]], dtype=np.complex128)


class FailingDetector(BalancedDetector):
    """A detector whose oscillator can be weak or gone, or that somebody blinds.

    Args:
        sound: the detector in whose place it stands.
        fault: what is wrong with it now.
    """

    def __init__(self, sound: BalancedDetector, fault: FaultFinder) -> None:
        self.settings = sound.settings
        self._sound = sound
        self._fault = fault
        self.damaged = sound.damaged

    def begin(self, window: Window) -> None:
        """Start a shot."""
        self._sound.begin(window)

    def settling_s(self) -> float:
        """Time after which the low-pass has forgotten its start."""
        return self._sound.settling_s()

    def block(self, signals: Sequence[Light], oscillator: Light) -> FloatArray:
        """Detect a block; see `BalancedDetector.block`."""
        kept = oscillator_kept(self._fault)
        weakened = oscillator if kept == 1.0 else oscillator.scaled(kept**0.5)
        volts = self._sound.block(signals, weakened)
        self.damaged = self._sound.damaged
        blinded = self._fault(FaultKind.DETECTOR_BLINDED)
        return volts if blinded is None else volts * np.float32(1 - blinded.amount)
