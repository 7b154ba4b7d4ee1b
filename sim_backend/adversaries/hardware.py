"""Attacks on devices rather than on the agreed light: calibration, detectors, modulators.

What the light shows of them is here; what only hardware can show (a monitor diode, a filter taken
in and out, a spectrum) is not simulated.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier
from sim_backend.adversaries.adversary import Adversary, Formulas, Gain, Party, Scene, Statistic
from sim_backend.adversaries.light import ProbeLight
from sim_backend.adversaries.outsiders import ScalesOscillator

__all__ = ["BlindsDetector", "DamagesModulator", "ShiftsCalibration", "TrojanLight"]


@dataclass(frozen=True, kw_only=True)
class ShiftsCalibration(ScalesOscillator):
    """Moves the detector's trigger, so that shot noise per power differs from its calibration.

    The oscillator's power meter sees nothing (Jouguet, Kunz-Jacques and Diamanti, Phys. Rev. A 87,
    062313 (2013)); the law of the light is that of a scaled oscillator, and so is its test.
    """

    name: ClassVar[str] = "C3"
    idea: ClassVar[str] = "changes the shot noise per oscillator power"


@dataclass(frozen=True, kw_only=True)
class BlindsDetector(ScalesOscillator):
    """Drives the detector out of its linear range, so that a meter's noise looks like vacuum.

    All that it tells shrinks by 1/(1 + eps), vacuum slots as well (Qin et al., Phys. Rev. A 98,
    012312 (2018)); that hides as much as a dimmed oscillator would.
    """

    name: ClassVar[str] = "C6"
    idea: ClassVar[str] = "blinds the detector with bright light"
    hidden_noise_snu: float = 2.0


@dataclass(frozen=True, kw_only=True)
class TrojanLight(Adversary):
    """Sends light of another wavelength or time through the client's modulators and reads it.

    Args:
        photons_in: per slot, as sent.
        isolation_db: of the client's isolators and filters, there and back, all losses included.
    """

    name: ClassVar[str] = "B7"
    party: ClassVar[Party] = "server"
    idea: ClassVar[str] = "Trojan light reads the modulators' settings"
    undetectable: ClassVar[str] = "isolators, filters and a monitor diode; what comes back is known"
    photons_in: float = 1e6
    isolation_db: float = 60.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.photons_in) and self.photons_in > 0):
            raise ConfigurationError(
                f"B7: photons_in is {self.photons_in}, it must be finite and above 0"
            )
        if not (math.isfinite(self.isolation_db) and self.isolation_db >= 0):
            raise ConfigurationError(
                f"B7: isolation_db is {self.isolation_db}, it must be finite and at least 0"
            )

    @property
    def photons_back(self) -> float:
        """Per slot, that carry a setting: the isolation that is needed is 10 log10(in/back) dB."""
        return float(self.photons_in * 10 ** (-self.isolation_db / 10))

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:  # noqa: ARG002
        """The Holevo information of what comes back, per slot."""
        return Gain(
            bits=formulas.kept(self.photons_back), per="slot", formula="chi(n_in 10^(-dB/10))"
        )


@dataclass(frozen=True, kw_only=True)
class DamagesModulator(Adversary):
    """Bright light changes the client's modulators (photorefraction), and with them its gain.

    A higher gain puts more of the data into the returned noise, and raises the variance of the
    client's own outcomes (arXiv 2409.08017; Huang et al., arXiv 1905.10795).

    Args:
        gain: that the client's amplifier then has, above the agreed one.
    """

    name: ClassVar[str] = "B9"
    party: ClassVar[Party] = "server"
    idea: ClassVar[str] = "changes the client's gain by bright light"
    changes: ClassVar[tuple[Statistic, ...]] = ("outcome variance",)
    gain: float = 3.0

    def __post_init__(self) -> None:
        Amplifier(gain=self.gain)

    def probes(self, honest: ProbeLight) -> ProbeLight:
        """Outcomes of an amplifier with that gain; weights add to them as before or more."""
        outcome = Amplifier(gain=self.gain).outcome_variance_snu
        return replace(honest, outcome_variance_snu=outcome)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """Whole rows, homodyned, of the higher noise."""
        excess = Amplifier(gain=self.gain).excess_noise_x_snu
        bits = formulas.rows_homodyned(excess, scene.rows, scene.modes)
        return Gain(bits=bits, per="data value", formula="0.5 log2(1 + (M/N) ell^2/(1 + ell))")
