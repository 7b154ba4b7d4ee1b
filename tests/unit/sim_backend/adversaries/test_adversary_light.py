"""What each adversary does to the light, against the values of its source."""

import math
from dataclasses import replace

import pytest

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier
from sim_backend.adversaries.adversary import Adversary, Formulas, Scene, return_behaviour
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
from sim_backend.adversaries.light import (
    Hit,
    ProbeLight,
    ReturnedLight,
    honest_probe,
    honest_return,
)
from sim_backend.adversaries.outsiders import (
    BrightensSource,
    ProjectsPolarisation,
    SaturatesDetector,
    ScalesOscillator,
    ShiftsFrames,
    TapsFibre,
    clipped_moments,
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
    mutual_information_bits,
)

AMPLIFIER = Amplifier(gain=2.0)
HONEST = honest_return(AMPLIFIER)
MU = 0.1
SCENE = Scene(receiver=AMPLIFIER, photons_per_symbol=MU, modes=784, rows=784)
PROBE = honest_probe(AMPLIFIER, MU)


def _named(name: str) -> Formulas:
    """Formulas that tell which of them was used, and with what."""
    marks = {"kept": 1.0, "homodyned": 2.0, "inside": 3.0}
    return Formulas(
        kept=lambda mu: marks["kept"] * mu if name == "kept" else math.nan,
        homodyned=lambda mu: marks["homodyned"] * mu if name == "homodyned" else math.nan,
        inside_rules=lambda mu: marks["inside"] * mu if name == "inside" else math.nan,
        rows_homodyned=lambda ell, m, n: ell * m / n if name == "rows" else math.nan,
        rows_any=lambda ell, m, n: ell * m / n if name == "any" else math.nan,
    )


def _moments(light: ReturnedLight) -> tuple[float, ...]:
    return (
        light.gain,
        light.variance_x_snu,
        light.variance_p_snu,
        light.data_mode_excess_x_snu,
        light.data_mode_excess_p_snu,
    )


@pytest.mark.parametrize(
    ("adversary", "moments"),
    [
        (KeepsLight(fraction=0.1), (math.sqrt(0.9), 1, 1, 0.9, 0.9)),
        (TapsAndAmplifies(fraction=0.05), (1, 1 + 0.1 / 0.95, 1 + 0.1 / 0.95, 1, 1)),
        (ClonesLight(noise_snu=1.0), (1, 2, 2, 1, 1)),
        (InterceptsAndResends(), (1, 3, 3, 1, 1)),
        (MeasuresOnlyX(noise_p_snu=0.1), (1, 1, 1.1, 1, 1)),
        (RaisesGain(agreed_gain=2.0, gain=math.inf), (1, 1, 1, 2, 2)),
        (ReturnsNothing(), (0, 1, 1, 0, 0)),
        (ReturnsAnotherRow(photons_per_symbol=0.1), (0, 1.4, 1, 1, 1)),
        (ShiftsFrames(photons_per_symbol=0.1), (0, 1.4, 1, 1, 1)),
        (TapsFibre(fraction=0.1, direction="back"), (math.sqrt(0.9), 1, 1, 0.9, 0.9)),
        (TapsFibre(fraction=0.1, direction="forward"), (math.sqrt(0.9), 1, 1, 1, 1)),
        (ProjectsPolarisation(angle_deg=60.0), (0.5, 1, 1, 0.25, 0.25)),
        (BrightensSource(brightness=1.21), (1.1, 1, 1, 1, 1)),
        (RetriesAfterAborts(fraction=0.19), (0.9, 1, 1, 0.81, 0.81)),
        (LiesInReports(fraction=0.19), (0.9, 1, 1, 0.81, 0.81)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Adversary) else "",
)
def test_return_has_the_moments_of_its_source_when_tampered(
    adversary: Adversary, moments: tuple[float, ...]
) -> None:
    assert _moments(adversary.returned(HONEST)) == pytest.approx(moments, abs=1e-12)
    assert adversary.probes(PROBE) == PROBE
    assert adversary.changes


def test_late_return_keeps_the_energy_of_the_means_when_the_phase_is_lost() -> None:
    late = ReturnsLate(delay_s=2e-5, linewidth_hz=1e4, photons_per_symbol=MU)
    light = late.returned(HONEST)
    in_x = light.gain**2 * 4 * MU + light.variance_x_snu - 1
    in_p = light.variance_p_snu - 1
    assert light.gain == pytest.approx(math.exp(-math.pi * 0.2))
    assert in_x + in_p == pytest.approx(4 * MU)
    assert in_x - in_p == pytest.approx(4 * MU * math.exp(-math.pi * 0.2) ** 4)


def test_discrimination_sends_unknown_slots_as_noise_when_guessing() -> None:
    light = UnambiguousDiscrimination(photons_per_symbol=MU).returned(HONEST)
    success = 1 - math.exp(-0.2)
    assert light.gain == pytest.approx(success)
    assert light.gain**2 * 4 * MU + light.variance_x_snu - 1 == pytest.approx(4 * MU)


def test_hits_strike_some_modes_when_not_all_are_intercepted() -> None:
    part = InterceptsAndResends(share=0.1).returned(HONEST)
    one = InterceptsOneMode().returned(HONEST)
    assert part.hit == Hit(gain=1.0, added_x_snu=2.0, added_p_snu=2.0, share=0.1)
    assert one.hit == Hit(gain=1.0, added_x_snu=2.0, added_p_snu=2.0, modes_per_frame=1)
    assert _moments(replace(part, hit=None)) == _moments(HONEST)


def test_scaled_oscillator_hides_the_noise_everywhere_but_in_vacuum() -> None:
    light = ScalesOscillator(hidden_noise_snu=0.05).returned(ReturnedLight())
    assert light.variance_x_snu == pytest.approx(1)
    assert light.variance_p_snu == pytest.approx(1)
    assert light.gain == 1
    assert light.vacuum_variance_snu == pytest.approx(1 / 1.05)


def test_saturation_moves_the_record_towards_a_rail() -> None:
    light = SaturatesDetector(offset_snu=4.0, converter_range_snu=6.0).returned(HONEST)
    assert light.clips
    assert (light.offset_snu, light.variance_x_snu) == (4.0, 3.0)


@pytest.mark.parametrize(
    ("adversary", "variance"),
    [
        # Two, less (G - 1)(1 - e^-2r): 1 + e^-2r at G = 2.
        (SqueezedProbes(squeezing_db=10.0), 1.1 + 0.4),
        (EntangledProbes(photons_per_mode=0.25), 2.5 + 0.4),
        (BrightProbes(brightness=2.0), 2 + 0.8),
    ],
    ids=["squeezed", "entangled", "bright"],
)
def test_outcomes_have_the_variance_of_the_probes_when_the_server_cheats(
    adversary: Adversary, variance: float
) -> None:
    assert adversary.probes(PROBE).variance_snu == pytest.approx(variance)
    assert adversary.returned(HONEST) == HONEST


@pytest.mark.parametrize(("offset", "variance"), [(2.0, 0.96), (4.0, 0.34), (6.0, 0.006)])
def test_clipping_hides_noise_as_published_when_the_record_is_displaced(
    offset: float, variance: float
) -> None:
    # Range of 4 standard deviations.
    _, found = clipped_moments(offset, 1.0, 4.0)
    assert found == pytest.approx(variance, rel=0.07)


def test_clipping_changes_nothing_when_the_range_is_wide() -> None:
    assert clipped_moments(1.5, 2.0, 100.0) == pytest.approx((1.5, 2.0))
    assert clipped_moments(50.0, 1.0, 4.0) == pytest.approx((4.0, 0.0))


def test_repeats_and_p_probes_change_what_the_client_can_look_for() -> None:
    assert RepeatsRows(share=0.5).probes(PROBE).repeated_share == 0.5
    assert ProbesInP(probe_photons=0.25).probes(PROBE).p_mean_snu == pytest.approx(1.0)


def test_uneven_rows_keep_the_mean_brightness() -> None:
    seen = UnevenRows(share=0.1).probes(PROBE)
    assert seen.variance_snu == PROBE.variance_snu
    assert seen.bright_variance_snu == pytest.approx(2 + 4.0)
    assert PROBE.bright_variance_snu == PROBE.variance_snu


def test_row_information_grows_with_squeezing_as_published() -> None:
    # 0.22 bit per row of 784 modes at G = 2, and 0.65, 1.7, 5.4 at 3, 6 and 10 dB.
    found = [mutual_information_bits(10 ** (db / 10), 784) for db in (0, 3, 6, 10)]
    assert found == pytest.approx([0.22, 0.65, 1.7, 5.44], rel=0.01)


@pytest.mark.parametrize(
    ("adversary", "formula", "bits", "per"),
    [
        (KeepsLight(fraction=0.5), "kept", 0.05, "weight"),
        (TapsAndAmplifies(fraction=0.5), "kept", 0.05, "weight"),
        (ClonesLight(noise_snu=1.0), "homodyned", 0.1, "weight"),
        (InterceptsAndResends(share=0.5), "homodyned", 0.05, "weight"),
        (MeasuresOnlyX(noise_p_snu=1.0), "homodyned", 0.1, "weight"),
        (InterceptsOneMode(), "homodyned", 0.1 / 784, "weight"),
        (RaisesGain(), "inside", 0.3 * (0.5469181606780271 / 0.5 - 1) / 784, "weight"),
        (UnambiguousDiscrimination(), "", 1 - math.exp(-0.2), "weight"),
        (AsksManyTimes(queries=784), "inside", 0.3, "weight"),
        (ReturnsNothing(), "kept", 0.1, "weight"),
        (ReturnsAnotherRow(), "kept", 0.1, "weight"),
        (ReturnsLate(), "kept", 0.1, "weight"),
        (RetriesAfterAborts(fraction=0.1, retries=100), "kept", 1.0, "weight"),
        (LiesInReports(fraction=0.5), "kept", 0.05, "weight"),
        (AnalysesCovariance(), "rows", 1.0, "data value"),
        (CountsPhotons(), "any", 2.0, "data value"),
        (BrightProbes(brightness=2.0, unitary_error_rad=0.1), "homodyned", 0.004, "data value"),
        (UnevenRows(share=0.1, unitary_error_rad=0.1), "homodyned", 0.002, "data value"),
        (RepeatsRows(times=10), "rows", 10.0, "data value"),
        (ProbesInP(probe_photons=1.0, tap_fraction=0.75), "homodyned", 0.5, "data value"),
        (AsksForTheOutcome(classes=8), "", 3.0, "input"),
        (TapsFibre(fraction=0.5), "kept", 0.05, "weight"),
        # u = 3: of 0.1 photons 1 - 1/9.
        (ScalesOscillator(hidden_noise_snu=2.0), "homodyned", 1.6 / 9, "weight"),
        (ProjectsPolarisation(angle_deg=90.0), "kept", 0.1, "weight"),
        (SaturatesDetector(), "homodyned", 0.1, "weight"),
        (ShiftsFrames(), "", 0.0, "weight"),
        (BrightensSource(brightness=1.5), "kept", 0.05, "weight"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Adversary) else "",
)
def test_gain_is_the_named_formula_at_the_light_it_gets(
    adversary: Adversary, formula: str, bits: float, per: str
) -> None:
    found = adversary.gains(SCENE, _named(formula))
    assert found.bits == pytest.approx(bits, rel=1e-6, abs=1e-12)
    assert found.per == per
    assert found.formula


@pytest.mark.parametrize(
    "adversary",
    [AsksManyTimes(), AnalysesCovariance(), CountsPhotons(), AsksForTheOutcome()],
    ids=lambda adversary: adversary.name,
)
def test_light_does_not_change_when_an_attack_is_undetectable(adversary: Adversary) -> None:
    assert adversary.returned(HONEST) == HONEST
    assert adversary.probes(PROBE) == PROBE
    assert not adversary.changes
    assert adversary.undetectable


def test_escape_chance_grows_with_retries() -> None:
    # 100 tries at a power of 0.999: 1 - 0.999^100 = 0.0952.
    assert RetriesAfterAborts(retries=100).escape_chance(0.999) == pytest.approx(0.0952, rel=1e-3)


def test_a_lie_in_a_report_moves_nothing_that_a_tap_does_not() -> None:
    lies = LiesInReports(fraction=0.1, reported_transmittance=0.5)
    assert lies.returned(HONEST) == KeepsLight(fraction=0.1).returned(HONEST)


def test_behaviour_is_the_same_channel_when_a_link_can_play_it() -> None:
    tap = return_behaviour(TapsAndAmplifies(fraction=0.2))
    assert tap.transmittance == 1.0
    assert tap.added_noise_x_snu == pytest.approx(0.5)
    assert return_behaviour(KeepsLight(fraction=0.2)).transmittance == pytest.approx(0.8)
    assert return_behaviour(MeasuresOnlyX(noise_p_snu=0.5)).added_noise_p_snu == 0.5
    some = return_behaviour(InterceptsAndResends(share=0.1))
    assert (some.share, some.added_noise_x_snu, some.transmittance) == (0.1, 2.0, 1.0)


@pytest.mark.parametrize(
    "adversary",
    [
        InterceptsOneMode(),
        RaisesGain(),
        ScalesOscillator(),
        SaturatesDetector(),
        BrightensSource(),
        SqueezedProbes(),
        AsksManyTimes(),
    ],
    ids=lambda adversary: adversary.name,
)
def test_behaviour_is_refused_when_a_link_cannot_play_it(adversary: Adversary) -> None:
    with pytest.raises(ConfigurationError, match=adversary.name):
        return_behaviour(adversary)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: KeepsLight(fraction=0.0),
        lambda: KeepsLight(fraction=math.nan),
        lambda: TapsAndAmplifies(fraction=1.0),
        lambda: ClonesLight(noise_snu=0.0),
        lambda: InterceptsAndResends(share=1.1),
        lambda: MeasuresOnlyX(noise_p_snu=math.nan),
        lambda: RaisesGain(agreed_gain=2.0, gain=2.0),
        lambda: UnambiguousDiscrimination(photons_per_symbol=-1.0),
        lambda: AsksManyTimes(queries=0),
        lambda: ReturnsLate(delay_s=0.0),
        lambda: ReturnsAnotherRow(photons_per_symbol=0.0),
        lambda: RetriesAfterAborts(retries=0),
        lambda: LiesInReports(reported_transmittance=0.0),
        lambda: SqueezedProbes(squeezing_db=0.0),
        lambda: EntangledProbes(amplifier_gain=1.0),
        lambda: BrightProbes(brightness=1.0),
        lambda: RepeatsRows(times=1),
        lambda: UnevenRows(share=0.0),
        lambda: ProbeLight(outcome_variance_snu=2.0, bright_share=0.0),
        lambda: ProbesInP(tap_fraction=2.0),
        lambda: AsksForTheOutcome(classes=1),
        lambda: ScalesOscillator(hidden_noise_snu=math.inf),
        lambda: ProjectsPolarisation(angle_deg=91.0),
        lambda: SaturatesDetector(offset_snu=0.0),
        lambda: ShiftsFrames(photons_per_symbol=math.nan),
        lambda: BrightensSource(brightness=0.9),
        lambda: Hit(gain=1.0, added_x_snu=1.0, added_p_snu=1.0),
        lambda: Hit(gain=1.0, added_x_snu=1.0, added_p_snu=1.0, share=0.1, modes_per_frame=1),
        lambda: ReturnedLight(variance_x_snu=0.0),
        lambda: ReturnedLight(gain=math.nan),
        lambda: ProbeLight(outcome_variance_snu=2.0, repeated_share=2.0),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ConfigurationError):
        wrong()


def test_setting_names_the_parameters() -> None:
    assert KeepsLight(fraction=0.25).setting == "fraction 0.25"
    assert TapsFibre(fraction=0.5, direction="back").setting == "fraction 0.5, back"
    assert ReturnsNothing().setting == ""
