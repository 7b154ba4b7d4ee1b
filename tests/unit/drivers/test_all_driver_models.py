"""Every model that a bench file can name makes its instrument, and has a twin."""

import re

import pytest

from drivers.catalogue import DriverModel, driver_models
from drivers.errors import ConfigurationError
from drivers.instruments import Instrument
from drivers.transports.wired import Wired
from sim_backend.wire.catalogue import twin_makers
from tests.wire.built import from_bench_file

MODELS = {f"{model.backend} {model.model}": model for model in driver_models()}
NEEDED: dict[str, dict[str, object]] = {
    "Amonics AEDFA": {"gain_table": "40 mA = 0 dB, 90 mA = 7 dB"},
    "Koheron CTL200": {"slope_w_per_a": 0.1, "max_current_a": 0.2, "wavelength_m": 1550e-9},
}
"""Settings without which a model refuses: what the instrument itself does not know."""
over_models = pytest.mark.parametrize("name", sorted(MODELS))


def build(model: DriverModel, channel: int, settings: dict[str, object]) -> Instrument:
    needed = NEEDED.get(model.model, {})
    return from_bench_file(model, channel=channel, settings=needed | settings)


def first_channel(model: DriverModel) -> int:
    """The first channel that the model takes: not every slot of a box is of its kind."""
    for channel in range(1, model.channels + 1):
        try:
            build(model, channel, {})
        except ConfigurationError:
            continue
        return channel
    raise AssertionError(f"{model.model} takes no channel at all")


def test_names_are_unique() -> None:
    assert len(MODELS) == len(driver_models())


@over_models
def test_model_makes_a_closed_instrument_of_its_kind(name: str) -> None:
    model = MODELS[name]
    instrument = build(model, first_channel(model), {})
    assert isinstance(instrument, model.kind)
    assert instrument.name == "role"
    assert not instrument.is_open
    assert isinstance(instrument, Wired)
    assert not instrument.simulated


@over_models
def test_model_refuses_a_channel_that_the_box_does_not_have(name: str) -> None:
    model = MODELS[name]
    with pytest.raises(ConfigurationError, match="channel"):
        build(model, model.channels + 1, {})


@over_models
def test_model_refuses_a_setting_that_it_does_not_know(name: str) -> None:
    model = MODELS[name]
    with pytest.raises(ConfigurationError, match="nonsense"):
        build(model, first_channel(model), {"nonsense": 1})


@over_models
def test_model_says_what_it_rests_on(name: str) -> None:
    model = MODELS[name]
    assert model.source
    re.compile(model.identity)
    assert model.model.count(" ") >= 1


@over_models
def test_model_has_a_twin(name: str) -> None:
    assert MODELS[name].model in twin_makers()
