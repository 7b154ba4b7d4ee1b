"""Layout of bursts and the waveforms made from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigurationError, OpticsError
from drivers.optics.burst import (
    BurstFormat,
    BurstLayout,
    SlotKind,
    compose_oscillator,
    compose_weights,
)
from drivers.optics.pulses import root_raised_cosine_pulse


@settings(max_examples=60, deadline=None)
@given(
    data=st.integers(1, 3000),
    pilot=st.integers(2, 20),
    vacuum=st.integers(2, 40),
    dark=st.integers(0, 50),
    least=st.integers(2, 200),
)
def test_layout_holds_every_slot_once_when_spacings_vary(
    data: int, pilot: int, vacuum: int, dark: int, least: int
) -> None:
    burst = BurstFormat(
        preamble_slots=63,
        pilot_spacing=pilot,
        vacuum_spacing=vacuum,
        dark_slots=dark,
        least_vacuum_slots=least,
    )
    layout = BurstLayout(format=burst, data_symbols=data)
    assert layout.data.size == data
    assert layout.preamble.size == 63
    assert layout.dark.size == dark
    assert layout.vacuum.size >= least
    parts = (layout.preamble, layout.pilots, layout.vacuum, layout.data, layout.dark)
    together = np.sort(np.concatenate(parts))
    guard = burst.guard_slots
    np.testing.assert_array_equal(together, np.arange(guard, layout.total_slots - guard))
    assert layout.pilots[0] == layout.body_start
    assert layout.pilots[-1] == layout.body_start + layout.body_slots - 1
    assert set(np.diff(layout.pilots)) == {pilot}
    between = np.flatnonzero(~np.isin(np.arange(layout.total_slots), layout.pilots))
    payload = between[(between > layout.body_start) & (between < layout.pilots[-1])]
    upto = payload[payload <= layout.data[-1]]
    assert np.count_nonzero(layout.kinds[upto] == SlotKind.VACUUM) == (
        (upto.size + vacuum - 1 - vacuum // 2) // vacuum
    )


def test_preamble_is_a_maximal_length_sequence() -> None:
    signs = BurstFormat().preamble_signs
    assert set(signs) == {-1.0, 1.0}
    circular = [float(signs @ np.roll(signs, shift)) for shift in range(signs.size)]
    assert circular[0] == 511
    assert set(circular[1:]) == {-1.0}


def test_weights_have_the_wanted_amplitude_in_each_slot() -> None:
    layout = BurstLayout(format=BurstFormat(), data_symbols=900)
    means = np.random.default_rng(1).standard_normal(900).astype(np.float32)
    samples = compose_weights(layout, means, 40.0)
    assert samples.dtype == np.float32
    assert samples.shape == (layout.total_samples,)
    slots = samples.reshape(-1, 8) @ layout.format.pulse.taps
    np.testing.assert_allclose(slots[layout.data], means, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(slots[layout.pilots], 40 * layout.pilot_signs, rtol=1e-5)
    np.testing.assert_allclose(slots[layout.preamble], 40 * layout.format.preamble_signs, rtol=1e-5)
    dark = np.isin(layout.kinds, [SlotKind.GUARD, SlotKind.VACUUM, SlotKind.DARK])
    assert not slots[dark].any()
    energies = np.sum(samples.reshape(-1, 8)[layout.data] ** 2, axis=1)
    np.testing.assert_allclose(energies, means**2, rtol=1e-4)


def test_weights_are_the_sum_of_shifted_pulses_when_pulses_overlap() -> None:
    burst = BurstFormat(
        samples_per_symbol=4, pulse=root_raised_cosine_pulse(4), if_cycles_per_symbol=1
    )
    layout = BurstLayout(format=burst, data_symbols=50)
    means = np.random.default_rng(2).standard_normal(50).astype(np.float32)
    slots = np.zeros(layout.total_slots)
    slots[layout.preamble] = 3 * burst.preamble_signs
    slots[layout.pilots] = 3 * layout.pilot_signs
    slots[layout.data] = means
    wanted = np.zeros(layout.total_samples)
    for slot in np.flatnonzero(slots):
        begin = slot * 4 - burst.pulse.lead
        wanted[begin : begin + burst.pulse.length] += slots[slot] * burst.pulse.taps
    np.testing.assert_allclose(compose_weights(layout, means, 3.0), wanted, atol=1e-5)


def test_complex_weights_give_a_complex_waveform() -> None:
    layout = BurstLayout(format=BurstFormat(), data_symbols=10)
    means = (np.arange(10) * 1j).astype(np.complex64)
    samples = compose_weights(layout, means, 1.0)
    assert samples.dtype == np.complex64
    slots = samples.reshape(-1, 8) @ layout.format.pulse.taps
    np.testing.assert_allclose(slots[layout.data], means, rtol=1e-5, atol=1e-6)


def test_oscillator_is_level_in_the_slot_and_smooth_at_its_edges() -> None:
    burst = BurstFormat(dark_slots=20)
    layout = BurstLayout(format=burst, data_symbols=700)
    levels = np.random.default_rng(3).uniform(-1, 1, 700).astype(np.float32)
    samples = compose_oscillator(layout, levels).reshape(-1, 8)
    assert samples.dtype == np.float32
    wanted = np.ones(layout.total_slots, dtype=np.float32)
    wanted[layout.data] = levels
    wanted[layout.dark] = 0
    np.testing.assert_allclose(samples[:, 1:-1], np.repeat(wanted[:, None], 6, axis=1), atol=1e-6)
    own, neighbour = 0.5 * (1 + np.sin(np.pi / 4)), 0.5 * (1 - np.sin(np.pi / 4))
    np.testing.assert_allclose(
        samples[1:, 0], own * wanted[1:] + neighbour * wanted[:-1], atol=1e-6
    )
    np.testing.assert_allclose(
        samples[:-1, 7], own * wanted[:-1] + neighbour * wanted[1:], atol=1e-6
    )
    # What a slot sees of its neighbours through the pulse is below 1e-3 of a full step.
    effective = samples @ (burst.pulse.taps**2)
    assert np.max(np.abs(effective - wanted)) < 1e-3


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"preamble_slots": 500}, "preamble_slots"),
        ({"pilot_spacing": 1}, "pilot_spacing"),
        ({"vacuum_spacing": 1}, "vacuum_spacing"),
        ({"guard_slots": 0}, "guard_slots"),
        ({"dark_slots": -1}, "dark_slots"),
        ({"samples_per_symbol": 4}, "samples_per_symbol"),
        ({"if_cycles_per_symbol": 4.0}, "if_cycles_per_symbol"),
        ({"symbol_rate_hz": float("nan")}, "symbol_rate_hz"),
        ({"least_vacuum_slots": 0}, "least_vacuum_slots"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_format_refuses_when_a_value_is_out_of_range(changes: dict[str, float], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        BurstFormat(**changes)  # type: ignore[arg-type]


def test_layout_refuses_when_there_is_no_data() -> None:
    with pytest.raises(ConfigurationError, match="data_symbols"):
        BurstLayout(format=BurstFormat(), data_symbols=0)


def test_composition_refuses_when_values_cannot_be_played() -> None:
    layout = BurstLayout(format=BurstFormat(), data_symbols=4)
    good = np.zeros(4, dtype=np.float32)
    with pytest.raises(OpticsError, match="shape"):
        compose_weights(layout, good[:3], 1.0)
    with pytest.raises(OpticsError, match="NaN"):
        compose_weights(layout, good * np.float32("nan"), 1.0)
    with pytest.raises(OpticsError, match="pilot_amplitude"):
        compose_weights(layout, good, float("nan"))
    with pytest.raises(OpticsError, match="limit is 1"):
        compose_oscillator(layout, good + 1.5)
    with pytest.raises(OpticsError, match="NaN"):
        compose_oscillator(layout, good * np.float32("nan"))
    burst = BurstFormat(
        samples_per_symbol=4, if_cycles_per_symbol=1, pulse=root_raised_cosine_pulse(4)
    )
    with pytest.raises(OpticsError, match="hann"):
        compose_oscillator(BurstLayout(format=burst, data_symbols=4), good)
