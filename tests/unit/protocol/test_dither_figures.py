"""What displacements of P tell of the client's data, in figures, charges and statements."""

import math
from dataclasses import replace

import pytest

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.accounting import charged_data_bits, data_leakage
from protocol.leakage import (
    LayerLight,
    data_bits_server_probes_feed_forward_tap,
    data_figures_for_layer,
)
from protocol.leakage.data_layer import PROBING_SERVER
from protocol.plan import Plan
from tests.plans import layer_plan

ROWS, MODES = 30, 40
LIGHT = LayerLight(rows=ROWS, modes=MODES, photons_per_symbol=0.2)
TAP = FeedForwardTap(tap_fraction=0.2)


def figures(receiver: Receiver, **options: float) -> dict[str, float]:
    found = data_figures_for_layer(LIGHT, receiver, **options)
    return {figure.adversary: figure.bits_per_symbol for figure in found}


@pytest.mark.parametrize("receiver", [Amplifier(gain=1.5), PassiveTap(tap_fraction=0.2)])
def test_displacements_tell_nothing_when_the_receiver_gives_p_back(receiver: Receiver) -> None:
    assert figures(receiver, dither_snu=4.0) == figures(receiver)


def test_probing_server_is_charged_a_quarter_of_the_dither_in_photons() -> None:
    plain, displaced = figures(TAP), figures(TAP, dither_snu=2.0)
    assert PROBING_SERVER not in plain
    wanted = data_bits_server_probes_feed_forward_tap(
        0.2, 0.5, ROWS, MODES, excess_noise_x_snu=TAP.excess_noise_x_snu
    )
    assert displaced[PROBING_SERVER] == pytest.approx(wanted)
    assert figures(TAP, dither_snu=2.0, probe_photons_per_mode=0.1) == displaced
    larger = figures(TAP, dither_snu=2.0, probe_photons_per_mode=3.0)
    assert larger[PROBING_SERVER] > wanted


def test_figures_of_the_declared_dither_are_those_of_a_blind_probe() -> None:
    """Fisher 2 c^2 d of the displacement, and noise, for the best measurement; caps by energy."""
    dither, rows_per_mode = 2.0, ROWS / MODES
    lost = 1 - math.sqrt(1 - 0.2)
    found, plain = figures(TAP, dither_snu=dither), figures(TAP)
    fisher = TAP.excess_noise_x_snu + 2 * lost**2 * dither
    assert found["server with any measurement"] > plain["server with any measurement"]
    assert found["server with any measurement"] == pytest.approx(
        math.log2(1 + rows_per_mode * fisher) / 2
    )
    capacity = ROWS * math.log2(1 + lost**2 * dither / MODES) / 2
    assert found["server homodyning whole rows, cap"] == pytest.approx(
        max(capacity, plain["server homodyning whole rows, cap"])
    )
    for name, bits in found.items():
        assert bits >= plain.get(name, 0.0)
    with pytest.raises(ConfigurationError, match="dither"):
        figures(TAP, dither_snu=-1.0)


def _plan() -> Plan:
    layer = layer_plan(rows=ROWS, modes=MODES, positions=3, photons_per_symbol=0.2)
    return Plan(layers=(layer, replace(layer, layer=2)))


def test_input_is_charged_the_probing_figure_when_p_is_displaced() -> None:
    plain, displaced = data_leakage(_plan(), TAP), data_leakage(_plan(), TAP, dither_snu=2.0)
    bits = charged_data_bits(displaced, probed=True)
    assert bits == max(f.total_bits for f in displaced if f.upper_bound or "probing" in f.adversary)
    assert bits == next(f.total_bits for f in displaced if f.adversary == PROBING_SERVER)
    assert bits > charged_data_bits(displaced, probed=False)
    assert charged_data_bits(plain, probed=True) == charged_data_bits(plain, probed=False)
