"""The catalogue of attacks as cases to run: who, how hard, which test, and the stated number.

Stated numbers are those of the project's threat catalogue for the power 0.999 at a false-alarm
rate of 1e-6: (z_alpha + z_beta)^2/((1 - gain)^2 4 mu) for a gain, the smallest chi-square sample
for a variance, 4 (z_alpha + z_beta)^2/ln(ratio)^2 vacuum slots for the unit of variance.
"""

import math
from dataclasses import dataclass

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier
from sim_backend.adversaries.adversary import Adversary, Scene, Statistic
from sim_backend.adversaries.client_conduct import (
    AsksManyTimes,
    LiesInReports,
    RetriesAfterAborts,
    ReturnsAnotherRow,
    ReturnsLate,
    ReturnsNothing,
)
from sim_backend.adversaries.clients import (
    ClonesLight,
    InterceptsAndResends,
    InterceptsOneMode,
    KeepsLight,
    MeasuresOnlyX,
    RaisesGain,
    TapsAndAmplifies,
    UnambiguousDiscrimination,
)
from sim_backend.adversaries.hardware import (
    BlindsDetector,
    DamagesModulator,
    ShiftsCalibration,
    TrojanLight,
)
from sim_backend.adversaries.light import ProbeLight, ReturnedLight, honest_probe, honest_return
from sim_backend.adversaries.many_copies import MergesCopies, RemembersCopies
from sim_backend.adversaries.outsiders import (
    BrightensSource,
    ProjectsPolarisation,
    SaturatesDetector,
    ScalesOscillator,
    ShiftsFrames,
    TapsFibre,
)
from sim_backend.adversaries.servers import (
    AnalysesCovariance,
    AsksForTheOutcome,
    BrightProbes,
    CountsPhotons,
    EntangledProbes,
    ProbesInP,
    RepeatsRows,
    SqueezedProbes,
    UnevenRows,
)
from sim_backend.adversaries.shot_noise_unit import SideBands

__all__ = ["CASES", "MODES", "Case", "find_cases"]

MODES = 784
ROWS = 784
FAINT = 0.001
"""Photons per symbol where the weights' own share of the client's outcome does not count."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One adversary against one test.

    Args:
        adversary: who and how hard.
        photons_per_symbol: mu at launch.
        test: the statistic that should show it; None where light shows nothing.
        stated: number of `unit` for the power 0.999 at 1e-6, None where none is stated.
        unit: what is counted.
        per_unit: how many of what the test counts make one unit.
        receiver_gain: agreed gain of the client's amplifier.
    """

    adversary: Adversary
    photons_per_symbol: float = 0.01
    test: Statistic | None
    stated: float | None = None
    unit: str = "symbols"
    per_unit: float = 1.0
    receiver_gain: float = 2.0

    @property
    def scene(self) -> Scene:
        """The layer that is attacked: 784 rows of 784 modes."""
        return Scene(
            receiver=Amplifier(gain=self.receiver_gain),
            photons_per_symbol=self.photons_per_symbol,
            modes=MODES,
            rows=ROWS,
        )

    def returned(self, *, honest: bool = False) -> ReturnedLight:
        """What comes back to the server, as the adversary leaves it or from an honest client."""
        fair = honest_return(self.scene.receiver)
        return fair if honest else self.adversary.returned(fair)

    def probe(self, *, honest: bool = False) -> ProbeLight:
        """What the client measures, as the adversary sends it or from an honest server."""
        fair = honest_probe(self.scene.receiver, self.photons_per_symbol)
        return fair if honest else self.adversary.probes(fair)


def find_cases(name: str) -> tuple[Case, ...]:
    """The cases of an attack by its name, or all of them.

    Raises:
        ConfigurationError: no attack of this name; says which there are.
    """
    if name.lower() == "all":
        return CASES
    found = tuple(case for case in CASES if case.adversary.name.lower() == name.lower())
    if not found:
        known = ", ".join(dict.fromkeys(case.adversary.name for case in CASES))
        raise ConfigurationError(f"attack {name!r} is unknown; there are {known}")
    return found


def _by_gain_at(adversary: Adversary, stated: dict[float, float]) -> tuple[Case, ...]:
    """Numbers by photons per symbol."""
    return tuple(_by_gain(adversary, number, mu) for mu, number in stated.items())


def _variance(adversary: Adversary, stated: float | None, test: Statistic = "X variance") -> Case:
    return Case(adversary=adversary, test=test, stated=stated, unit=f"symbols in {test.split()[0]}")


def _rows(adversary: Adversary, stated: float, agreed: float = 2.0) -> Case:
    """Whole rows, one quadrature of which is tested."""
    return Case(
        adversary=adversary,
        test="X variance",
        stated=stated,
        unit="rows in X",
        per_unit=MODES,
        receiver_gain=agreed,
    )


def _in_p(adversary: Adversary, stated: float) -> Case:
    """P is tested on half of the symbols."""
    return Case(
        adversary=adversary,
        photons_per_symbol=0.1,
        test="P variance",
        stated=stated,
        unit="symbols, half in P",
        per_unit=0.5,
    )


def _audited(agreed: float, gain: float, stated: float) -> Case:
    return Case(
        adversary=RaisesGain(agreed_gain=agreed, gain=gain),
        test="audited projection",
        stated=stated,
        unit="audited rows",
        receiver_gain=agreed,
    )


def _outcomes(adversary: Adversary, mu: float, stated: float | None) -> Case:
    return Case(
        adversary=adversary,
        photons_per_symbol=mu,
        test="outcome variance",
        stated=stated,
        unit="rows measured",
    )


def _by_gain(adversary: Adversary, stated: float, mu: float = 0.01) -> Case:
    return Case(
        adversary=adversary,
        photons_per_symbol=mu,
        test="gain",
        stated=stated,
        unit="symbols in X",
    )


def _vacuum(adversary: Adversary, stated: float) -> Case:
    return Case(
        adversary=adversary,
        test="vacuum slots",
        stated=stated,
        unit="vacuum slots",
    )


CASES: tuple[Case, ...] = (
    *_by_gain_at(
        KeepsLight(fraction=0.1), {0.01: 5.8e5, 0.013: 4.5e5, 0.05: 1.2e5, 0.1: 5.8e4, 1.0: 5.8e3}
    ),
    *_by_gain_at(
        KeepsLight(fraction=0.5), {0.01: 1.8e4, 0.013: 1.4e4, 0.05: 3.6e3, 0.1: 1.8e3, 1.0: 180}
    ),
    *_by_gain_at(KeepsLight(fraction=0.01), {0.01: 6.1e7, 1.0: 6.1e5}),
    _variance(TapsAndAmplifies(fraction=0.05), 1.2e4),
    _variance(TapsAndAmplifies(fraction=0.01), 3.1e5),
    _variance(TapsAndAmplifies(fraction=0.1), 3.0e3),
    _variance(TapsAndAmplifies(fraction=0.5), 97),
    _variance(ClonesLight(), 247),
    _variance(InterceptsAndResends(), 97),
    _variance(InterceptsAndResends(share=0.1), 3.7e3),
    _variance(InterceptsAndResends(share=0.01), 3.1e5),
    _variance(InterceptsAndResends(share=0.001), 3.1e7),
    _variance(InterceptsAndResends(share=0.1), None, "fourth moment"),
    _in_p(MeasuresOnlyX(noise_p_snu=1.0), 494),
    _in_p(MeasuresOnlyX(noise_p_snu=0.1), 2.7e4),
    _in_p(MeasuresOnlyX(noise_p_snu=0.01), 2.5e6),
    _rows(InterceptsOneMode(), 2.4e4),
    _audited(2.0, math.inf, 730),
    _audited(1.3, 2.0, 1.2e3),
    _rows(RaisesGain(agreed_gain=2.0, gain=math.inf), 9.7e4),
    _rows(RaisesGain(agreed_gain=1.3, gain=2.0), 3.3e5, 1.3),
    _by_gain(UnambiguousDiscrimination(photons_per_symbol=0.01), 1.5e3),
    Case(adversary=AsksManyTimes(), test=None),
    _in_p(RemembersCopies(noise_p_snu=0.01, copies=100), 2.5e6),
    _in_p(RemembersCopies(noise_p_snu=1 / MODES, copies=100), 1.6e8),
    _variance(MergesCopies(fraction=0.2, copies=10), 1.65e7),
    _variance(MergesCopies(fraction=0.1, copies=10), 3.3e8),
    *_by_gain_at(ReturnsNothing(), {0.01: 1.5e3, 0.013: 1.2e3, 0.05: 308, 0.1: 154, 1.0: 16}),
    _by_gain(ReturnsAnotherRow(photons_per_symbol=0.01), 1.5e3),
    _by_gain(ReturnsLate(photons_per_symbol=0.01), 1.5e3),
    Case(adversary=RetriesAfterAborts(), test="aborts", unit="sessions"),
    _by_gain(LiesInReports(fraction=0.1), 5.8e5),
    Case(adversary=AnalysesCovariance(), test=None),
    Case(adversary=CountsPhotons(), test=None),
    _outcomes(SqueezedProbes(squeezing_db=3.0), FAINT, 1.5e3),
    _outcomes(SqueezedProbes(squeezing_db=6.0), FAINT, 581),
    _outcomes(SqueezedProbes(squeezing_db=1.0), FAINT, 1.05e4),
    _outcomes(SqueezedProbes(squeezing_db=10.0), FAINT, 362),
    _outcomes(EntangledProbes(photons_per_mode=0.25), FAINT, None),
    _outcomes(BrightProbes(brightness=2.0), 0.01, 3.3e5),
    _outcomes(BrightProbes(brightness=2.0), 0.1, 5.1e3),
    _outcomes(BrightProbes(brightness=2.0), 1.0, 458),
    _outcomes(BrightProbes(brightness=20.0), 0.05, 117),
    Case(
        adversary=UnevenRows(share=0.01),
        photons_per_symbol=0.1,
        test="outcome peaks",
        unit="rows measured",
    ),
    Case(
        adversary=RepeatsRows(share=0.5),
        photons_per_symbol=1.0,
        test="repeated rows",
        unit="rows measured",
    ),
    Case(adversary=ProbesInP(), test="P audit", unit="audited rows"),
    Case(adversary=TrojanLight(), test=None),
    Case(adversary=AsksForTheOutcome(), test=None),
    _outcomes(DamagesModulator(), FAINT, None),
    _by_gain(TapsFibre(fraction=0.1, direction="back"), 5.8e5),
    _by_gain(TapsFibre(fraction=0.1, direction="forward"), 5.8e5),
    _vacuum(ScalesOscillator(hidden_noise_snu=0.05), 1.0e5),
    _vacuum(ScalesOscillator(hidden_noise_snu=0.01), 2.5e6),
    _vacuum(ScalesOscillator(hidden_noise_snu=0.02), 6.3e5),
    _vacuum(ScalesOscillator(hidden_noise_snu=0.1), 2.7e4),
    _vacuum(ShiftsCalibration(hidden_noise_snu=0.05), 1.0e5),
    _by_gain(ProjectsPolarisation(angle_deg=45.0), 1.8e3, 0.1),
    _by_gain(ProjectsPolarisation(angle_deg=10.0), 6.7e5, 0.1),
    _by_gain(ProjectsPolarisation(angle_deg=20.0), 4.2e4, 0.1),
    _by_gain(ProjectsPolarisation(angle_deg=90.0), 154, 0.1),
    Case(adversary=SaturatesDetector(), test="rails", unit="values"),
    _vacuum(BlindsDetector(), 204),
    _vacuum(SideBands(side_bands_snu=0.05), 1.0e5),
    _vacuum(SideBands(side_bands_snu=0.01), 2.5e6),
    _variance(SideBands(side_bands_snu=0.25, everywhere=True), 3.6e3),
    Case(adversary=SideBands(unbalance=0.01), test="rails", unit="vacuum slots"),
    _by_gain(ShiftsFrames(photons_per_symbol=0.01), 1.5e3),
    _by_gain(BrightensSource(brightness=1.1), 5.8e5),
)
