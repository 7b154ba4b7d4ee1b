"""Limits of a bench file: units, narrowing, and the refusal of everything that is no narrowing."""

from typing import Any

import pytest

from drivers.bench.limits import (
    InstrumentLimits,
    limit_keys,
    limits_table,
    limits_text,
    narrowed_limits,
)
from drivers.errors import ConfigurationError
from drivers.instruments import (
    AmplifierLimits,
    AttenuatorLimits,
    DigitiserLimits,
    LaserLimits,
    PowerMeterLimits,
    Range,
    SwitchLimits,
)

LASER = LaserLimits(
    power_w=Range(lowest=1e-4, highest=50e-3),
    wavelength_m=Range(lowest=1528e-9, highest=1568e-9),
)


def _narrow(wanted: dict[str, Any], own: InstrumentLimits = LASER) -> InstrumentLimits:
    return narrowed_limits(own, wanted, "instruments.laser.limits")


def test_narrowed_limits_converts_dbm_and_nm_when_given() -> None:
    found = _narrow({"power_dbm_max": 10, "wavelength_nm_min": 1549.5, "wavelength_nm_max": 1550.5})
    assert isinstance(found, LaserLimits)
    assert found.power_w.lowest == 1e-4
    assert found.power_w.highest == pytest.approx(10e-3, rel=1e-12)
    assert found.wavelength_m.lowest == pytest.approx(1549.5e-9, rel=1e-12)
    assert found.wavelength_m.highest == pytest.approx(1550.5e-9, rel=1e-12)


def test_narrowed_limits_leaves_the_model_alone_when_the_file_says_nothing() -> None:
    assert _narrow({}) == LASER


def test_narrowed_limits_takes_the_models_own_edge_when_it_is_missed_by_a_rounding() -> None:
    found = _narrow({"power_dbm_max": 16.9897000434, "wavelength_nm_min": 1528.0000000001})
    assert found == LASER


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"power_w_max": 0.01},
            "unknown key instruments.laser.limits.power_w_max; did you mean "
            "instruments.laser.limits.power_dbm_max?",
        ),
        (
            {"zzz": 1.0},
            "unknown key instruments.laser.limits.zzz; known are power_dbm_min, power_dbm_max, "
            "wavelength_nm_min, wavelength_nm_max",
        ),
        (
            {"power_dbm_max": 20.0},
            "instruments.laser.limits.power_dbm_max is 20 dBm, outside the model's own limits of "
            "-10 to 16.99 dBm; a bench may only narrow them",
        ),
        (
            {"wavelength_nm_min": 1500.0},
            "instruments.laser.limits.wavelength_nm_min is 1500 nm, outside the model's own "
            "limits of 1528 to 1568 nm; a bench may only narrow them",
        ),
        (
            {"power_dbm_min": 5.0, "power_dbm_max": 3.0},
            "instruments.laser.limits.power_dbm_min is 5.0 dBm, above power_dbm_max of 3.0 dBm; "
            "exchange them",
        ),
        (
            {"power_dbm_max": float("nan")},
            "instruments.laser.limits.power_dbm_max is nan; it must be a finite number",
        ),
        (
            {"power_dbm_max": float("inf")},
            "instruments.laser.limits.power_dbm_max is inf; it must be a finite number",
        ),
        (
            {"power_dbm_max": "10"},
            "instruments.laser.limits.power_dbm_max is '10'; it must be a finite number",
        ),
        (
            {"power_dbm_max": True},
            "instruments.laser.limits.power_dbm_max is True; it must be a finite number",
        ),
        (
            {"power_dbm_max": 5000.0},
            "instruments.laser.limits.power_dbm_max is 5000 dBm, outside the model's own limits "
            "of -10 to 16.99 dBm; a bench may only narrow them",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_narrowed_limits_names_path_and_unit_when_a_limit_is_impossible(
    wanted: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _narrow(wanted)
    assert str(caught.value) == message


def test_narrowed_limits_knows_no_key_when_the_kind_has_no_range() -> None:
    own = SwitchLimits(positions=("a", "b"), safe_position="a")
    with pytest.raises(ConfigurationError, match=r"limits\.position; known are none$"):
        _narrow({"position": 1}, own)


@pytest.mark.parametrize(
    ("own", "key", "field"),
    [
        (AttenuatorLimits(attenuation_db=Range(lowest=0, highest=60)), "attenuation_db", 30.0),
        (
            AmplifierLimits(
                gain_db=Range(lowest=0, highest=30), seed_power_w=Range(lowest=1e-5, highest=1e-2)
            ),
            "gain_db",
            20.0,
        ),
        (
            DigitiserLimits(
                channels=1,
                sample_rate_hz=Range(lowest=1e6, highest=1e9),
                samples=10,
                range_v=Range(lowest=0.1, highest=1),
                bits=8,
            ),
            "range_v",
            0.5,
        ),
    ],
    ids=["attenuator", "amplifier", "digitiser"],
)
def test_narrowed_limits_changes_one_field_only_when_one_key_is_given(
    own: InstrumentLimits, key: str, field: float
) -> None:
    found = limits_table(_narrow({f"{key}_max": field}, own))
    before = limits_table(own)
    assert found.pop(key) == (before.pop(key)[0], field)
    assert found == before


def test_limits_text_uses_the_units_of_the_file() -> None:
    assert limits_text(LASER) == "power_dbm -10 to 16.99; wavelength_nm 1528 to 1568"
    dark = PowerMeterLimits(
        power_w=Range(lowest=0.0, highest=1e-3), wavelength_m=LASER.wavelength_m
    )
    assert limits_text(dark) == "power_dbm -inf to 0; wavelength_nm 1528 to 1568"


def test_limit_keys_end_in_min_and_max() -> None:
    assert limit_keys(AttenuatorLimits) == ("attenuation_db_min", "attenuation_db_max")
