"""Settings, adversaries and receivers refuse what cannot be, and say so."""

import math
from dataclasses import FrozenInstanceError, replace

import pytest

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, receiver
from sim_backend.adversaries import (
    HONEST,
    ReturnBehaviour,
    intercepts_and_resends,
    keeps_fraction,
    measures_only_x,
    returns_nothing,
    taps_and_amplifies,
)
from sim_backend.settings import DetectorSettings, LinkSettings

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize("value", [NAN, INF, -INF, 0.0, -0.1, 1.001])
@pytest.mark.parametrize("name", ["efficiency", "visibility"])
def test_detector_refuses_a_fraction_when_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} is {value}, it must lie in \(0, 1\]"):
        DetectorSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [NAN, INF, -INF, -1e-9])
@pytest.mark.parametrize(
    "name",
    [
        "electronic_noise_snu",
        "phase_error_rad",
        "phase_memory_frames",
        "oscillator_drift",
        "oscillator_memory_inputs",
    ],
)
def test_detector_refuses_noise_when_negative_or_not_finite(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is {value}, it must be finite"):
        DetectorSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [-1, 25])
def test_detector_refuses_converter_bits_when_out_of_range(bits: int) -> None:
    with pytest.raises(ConfigurationError, match=f"converter_bits is {bits}"):
        DetectorSettings(converter_bits=bits)


@pytest.mark.parametrize("value", [NAN, INF, 0.0, -1.0])
def test_detector_refuses_a_converter_range_when_not_positive(value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"converter_range_snu is {value}"):
        DetectorSettings(converter_range_snu=value)


def test_detector_combines_efficiency_and_visibility() -> None:
    detector = DetectorSettings(efficiency=0.8, visibility=0.9)
    assert detector.total_efficiency == pytest.approx(0.8 * 0.81)


def test_detector_step_divides_the_full_range_into_its_codes() -> None:
    detector = DetectorSettings(converter_bits=8, converter_range_snu=16.0)
    assert detector.converter_step_snu == 2 * 16.0 / 2**8
    assert DetectorSettings(converter_range_snu=16.0).converter_step_snu == 0.0


@pytest.mark.parametrize(
    ("changes", "steady"),
    [({}, True), ({"phase_error_rad": 0.1}, False), ({"oscillator_drift": 0.1}, False)],
)
def test_detector_is_steady_when_nothing_moves(changes: dict[str, float], steady: bool) -> None:
    assert DetectorSettings(**changes).steady is steady  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [NAN, INF, 0.0, -0.1, 1.001])
@pytest.mark.parametrize("name", ["forward_transmittance", "return_transmittance"])
def test_link_refuses_a_transmittance_when_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} is {value}, it must lie in \(0, 1\]"):
        LinkSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [NAN, INF, -0.1])
@pytest.mark.parametrize("name", ["excess_noise_snu", "unitary_error_rad"])
def test_link_refuses_noise_when_negative_or_not_finite(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is {value}, it must be finite"):
        LinkSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [NAN, INF, 0.0, -1e9])
def test_link_refuses_a_symbol_rate_when_not_positive(value: float) -> None:
    with pytest.raises(ConfigurationError, match="symbol_rate_hz is"):
        LinkSettings(symbol_rate_hz=value)


def test_link_refuses_modes_device_and_seed_when_they_make_no_sense() -> None:
    with pytest.raises(ConfigurationError, match="modes_per_frame is 0"):
        LinkSettings(modes_per_frame=0)
    with pytest.raises(ConfigurationError, match="'tpu'; choose auto, cpu or cuda"):
        LinkSettings(device="tpu")
    with pytest.raises(ConfigurationError, match="seed is -1"):
        LinkSettings(seed=-1)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        LinkSettings().seed = 3  # type: ignore[misc]
    assert replace(LinkSettings(), seed=3).seed == 3


@pytest.mark.parametrize("gain", [NAN, INF, 1.0, 0.5, -2.0])
def test_amplifier_refuses_a_gain_when_not_above_one(gain: float) -> None:
    with pytest.raises(ConfigurationError, match=f"gain is {gain}, it must be a finite number"):
        Amplifier(gain=gain)


@pytest.mark.parametrize("kind", [FeedForwardTap.kind, PassiveTap.kind])
@pytest.mark.parametrize("fraction", [NAN, INF, 0.0, -0.1, 1.01])
def test_taps_refuse_a_fraction_when_out_of_range(kind: str, fraction: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"{kind}: tap_fraction is {fraction}"):
        receiver(kind, fraction)


def test_receiver_is_made_by_name_and_unknown_names_list_the_known() -> None:
    assert receiver("amplifier", 2.0) == Amplifier(gain=2.0)
    assert receiver("feed-forward-tap", 0.2) == FeedForwardTap(tap_fraction=0.2)
    assert receiver("passive-tap", 0.2) == PassiveTap(tap_fraction=0.2)
    with pytest.raises(ConfigurationError, match="known are amplifier, feed-forward-tap, passive"):
        receiver("squeezer", 1.0)


def test_adversaries_have_the_gain_and_noise_of_their_attack() -> None:
    def law(behaviour: ReturnBehaviour) -> tuple[float, float, float]:
        return (
            behaviour.transmittance,
            behaviour.added_noise_x_snu,
            behaviour.added_noise_p_snu,
        )

    assert law(HONEST) == (1, 0, 0)
    assert law(keeps_fraction(0.25)) == (0.75, 0, 0)
    assert law(keeps_fraction(1.0)) == law(returns_nothing()) == (0, 0, 0)
    assert law(taps_and_amplifies(0.5)) == (1, 2, 2)
    assert law(intercepts_and_resends()) == (1, 2, 2)
    assert law(measures_only_x(0.7)) == (1, 0, 0.7)


@pytest.mark.parametrize("fraction", [NAN, 0.0, -0.1, 1.01])
def test_adversaries_refuse_a_fraction_when_out_of_range(fraction: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"{fraction}, it must lie in \(0, 1\]"):
        keeps_fraction(fraction)
    with pytest.raises(ConfigurationError, match=rf"{fraction}, it must lie in \(0, 1\)"):
        taps_and_amplifies(fraction)


def test_amplifying_thief_cannot_keep_everything() -> None:
    with pytest.raises(ConfigurationError, match=r"it must lie in \(0, 1\)"):
        taps_and_amplifies(1.0)


@pytest.mark.parametrize("noise", [NAN, INF, -0.1])
def test_adversaries_refuse_noise_when_negative_or_not_finite(noise: float) -> None:
    with pytest.raises(ConfigurationError, match=f"added noise is {noise} SNU"):
        measures_only_x(noise)
    with pytest.raises(ConfigurationError, match=f"added noise is {noise} SNU"):
        ReturnBehaviour(name="x", added_noise_x_snu=noise)


@pytest.mark.parametrize("value", [NAN, -0.1, 1.1])
def test_behaviour_refuses_a_transmittance_when_out_of_range(value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"transmittance is {value}"):
        ReturnBehaviour(name="x", transmittance=value)
