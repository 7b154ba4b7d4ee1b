"""Both ends of a homodyne bench over simulated instruments: what they do, claim and refuse."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from drivers.backend import Block, ChoosesEarly
from drivers.errors import (
    ConfigurationError,
    LimitError,
    OpticsError,
    PhaseError,
    ReadbackError,
)
from drivers.instruments import Attenuator
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.homodyne_choice import Coins, OperatingSystemCoins, SeededCoins
from drivers.optics.homodyne_lock import LockLimits
from drivers.optics.homodyne_values import check_homodyne_frames, one_input, probe_layout
from sim_backend.instruments.faults import Fault, FaultKind
from sim_backend.scene.converters import Drive, Record, Recording
from tests.homodyne_bench import FORMAT, HomodyneBench, open_homodyne_bench

MODES, INPUTS, ROWS = 16, 4, 4
BLOCK = Block(
    run=0, layer=0, tile=0, first_input=0, inputs=INPUTS, first_row=0, rows=ROWS, modes=MODES
)
DATA = torch.full((INPUTS, MODES), 0.25)
MEANS = torch.full((1, ROWS, MODES), 1.0)


class Given:
    """Coins that fall as they are told."""

    seed: int | None = 1

    def __init__(self, *sides: bool) -> None:
        self._sides = sides

    def toss(self, count: int, p_share: float = 0.5) -> NDArray[np.bool_]:
        return np.resize(np.array(self._sides), count)


def opened(coins: Coins | None = None, told: list[str] | None = None) -> HomodyneBench:
    return open_homodyne_bench(
        modes_per_frame=MODES,
        calibration_samples=1 << 16,
        coins=coins,
        on_failure=None if told is None else told.append,
    )


def send(bench: HomodyneBench) -> None:
    bench.link.client.load(BLOCK, DATA)
    bench.link.server.send(BLOCK, MEANS)


def phases_at_triggers(bench: HomodyneBench) -> list[tuple[float, float]]:
    """True phases of the server's and the client's shifter whenever light goes out."""
    seen: list[tuple[float, float]] = []
    scene = bench.bench.scene
    play = scene.play

    def watched(drives: Mapping[str, Drive], records: Mapping[str, Recording]) -> dict[str, Record]:
        seen.append(
            (scene.server_phase_shifter.phase_rad(), scene.client_phase_shifter.phase_rad())
        )
        return play(drives, records)

    scene.play = watched  # type: ignore[method-assign]
    return seen


def test_server_has_set_the_chosen_quadrature_when_the_light_goes_out() -> None:
    bench = opened(Given(True, False, False, True))
    seen = phases_at_triggers(bench)
    send(bench)
    # Four probes of the search; a probe at P before each burst and after the last; one at X.
    assert len(seen) == 4 + 2 * INPUTS + 2
    for index, on_p in enumerate((True, False, False, True)):
        probe, data = seen[4 + 2 * index], seen[5 + 2 * index]
        step = math.remainder(data[0] - probe[0], 2 * math.pi)
        # From P to X is a quarter turn back; the lock's step of a probe is far less.
        assert step == pytest.approx(0.0 if on_p else -math.pi / 2, abs=0.2)
        assert math.remainder(data[1] - probe[1], 2 * math.pi) == pytest.approx(
            -math.pi / 2, abs=0.2
        )


def test_neither_order_nor_time_of_the_bursts_tells_the_choice() -> None:
    ends_s, clients = [], []
    for side in (False, True):
        bench = opened(Given(side))
        seen = phases_at_triggers(bench)
        begin_s = bench.bench.clock.now()
        send(bench)
        ends_s.append(bench.bench.clock.now() - begin_s)
        clients.append(len(seen))
    assert ends_s[0] == pytest.approx(ends_s[1], abs=1e-12)
    assert clients[0] == clients[1]


def test_server_gives_no_other_quadratures_than_it_has_chosen() -> None:
    link = opened(Given(True, False)).link
    link.client.load(BLOCK, DATA)
    link.server.send(BLOCK, MEANS)
    link.client.measure(BLOCK)
    chosen = link.random_bits.flips("", INPUTS, ROWS)
    with pytest.raises(OpticsError, match="chosen when the block was sent"):
        link.server.collect_full(BLOCK, ~chosen)
    mixed = chosen.clone()
    mixed[0, 0] = ~mixed[0, 0]
    with pytest.raises(OpticsError, match="chosen when the block was sent"):
        link.server.collect_summary(BLOCK, mixed, 1.0)
    # The light is still there for those who ask for what was measured.
    summary = link.server.collect_summary(BLOCK, chosen, 1.0)
    assert summary.frames.tolist() == [[2.0] * ROWS, [2.0] * ROWS]


def test_link_tells_the_engine_that_it_chooses_early() -> None:
    link = opened(SeededCoins(5)).link
    assert isinstance(link, ChoosesEarly)
    assert link.random_bits.seed == 5
    # A simulated bench has its own seed where no coins are given; real light never has one.
    assert opened().link.random_bits.seed == 1
    assert opened(OperatingSystemCoins()).link.random_bits.seed is None


def test_link_refuses_seeded_coins_on_real_light() -> None:
    link = opened().link
    real = replace(link.settings, frames=replace(link.settings.frames, simulated=False))
    arguments = (link.server._instruments, link.client._instruments, real)
    assert type(link)(*arguments).random_bits.seed is None
    with pytest.raises(ConfigurationError, match="possible in simulation only"):
        type(link)(*arguments, coins=SeededCoins(1))


def test_server_claims_the_whole_efficiency_and_its_converter() -> None:
    link = opened().link
    info, values = link.server.describe(), link.settings.server
    assert info.detection_efficiency == values.detection_efficiency > 0.8
    root = values.shot_noise_v2**0.5
    assert info.converter_step_snu == pytest.approx(2 / 4096 / root)
    assert info.converter_range_snu == pytest.approx(1 / (FORMAT.pulse.peak * root))


def test_server_refuses_light_when_the_bench_cannot_make_so_much() -> None:
    link = opened().link
    link.client.load(BLOCK, DATA)
    with pytest.raises(LimitError, match=r"pulses of .* photons .* lower the photons"):
        link.server.send(BLOCK, 200 * MEANS)
    link.server.send(BLOCK, MEANS)


def test_ends_refuse_complex_light() -> None:
    link = opened().link
    with pytest.raises(LimitError, match="real encoding"):
        link.client.load(BLOCK, torch.complex(DATA, torch.zeros_like(DATA)))
    link.client.load(BLOCK, DATA)
    with pytest.raises(LimitError, match="real encoding"):
        link.server.send(BLOCK, torch.complex(MEANS, MEANS))


def test_block_is_lost_and_the_phase_forgotten_when_the_attenuator_was_moved() -> None:
    told: list[str] = []
    bench = opened(told=told)
    send(bench)
    bench.link.client.measure(BLOCK)
    attenuator = bench.instruments["attenuator"]
    assert isinstance(attenuator, Attenuator)
    attenuator.set_attenuation_db(attenuator.attenuation_db() + 1)
    bench.bench.clock.advance(1.0)
    later = replace(BLOCK, first_input=INPUTS)
    bench.link.client.load(later, DATA)
    with pytest.raises(ReadbackError, match="the launch was calibrated at"):
        bench.link.server.send(later, MEANS)
    assert len(told) == 1
    assert not bench.link.server.lock.is_acquired
    assert not bench.link.client.lock.is_acquired
    with pytest.raises(OpticsError, match="nothing was sent"):
        bench.link.client.measure(later)


@pytest.mark.parametrize("name", ["return_phase_v_pi_v", "tap_phase_v_pi_v"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_settings_refuse_a_phase_shifter_without_v_pi(name: str, value: float) -> None:
    settings = opened().link.settings
    with pytest.raises(ConfigurationError, match=f"calibrated {name}"):
        replace(settings, **{name: value})  # type: ignore[arg-type]


def test_frames_are_refused_when_they_have_an_intermediate_frequency() -> None:
    with pytest.raises(ConfigurationError, match="2 cycles of an intermediate frequency"):
        check_homodyne_frames(BenchFrames())


def test_limits_follow_the_calibrated_phase_error() -> None:
    settings = replace(opened().link.settings, limits=LockLimits(largest_rms_rad=0.15))
    assert settings.limits_for(0.0).largest_rms_rad == 0.15
    assert settings.limits_for(0.01).largest_rms_rad == 0.08
    assert settings.limits_for(0.06).largest_rms_rad == pytest.approx(0.12)
    assert settings.limits_for(0.1).largest_rms_rad == 0.15


def test_probe_is_short_and_a_burst_carries_one_input() -> None:
    probe = probe_layout(FORMAT)
    assert probe.data_symbols == 1
    assert probe.pilots.size > 500
    assert probe.total_slots < 3000
    assert one_input(BLOCK) == replace(BLOCK, inputs=1)


@pytest.mark.parametrize("role", ["return_phase", "tap_phase"])
def test_block_is_lost_when_a_phase_shifter_does_not_take_its_setting(role: str) -> None:
    told: list[str] = []
    bench = opened(told=told)
    bench.link.client.load(BLOCK, DATA)
    bench.bench.inject(Fault(kind=FaultKind.SETTING_IGNORED, target=role))
    with pytest.raises(ReadbackError, match=role):
        bench.link.server.send(BLOCK, MEANS)
    assert len(told) == 1
    with pytest.raises(OpticsError, match="nothing was sent"):
        bench.link.client.measure(BLOCK)


def test_block_is_lost_when_no_light_returns() -> None:
    bench = opened()
    bench.link.client.load(BLOCK, DATA)
    bench.bench.inject(Fault(kind=FaultKind.FIBRE_UNPLUGGED, target="back"))
    with pytest.raises(PhaseError, match=r"return_phase: too few photons"):
        bench.link.server.send(BLOCK, MEANS)


def test_block_is_lost_when_the_return_is_lost_while_p_is_measured() -> None:
    # In P the pilots vanish anyhow: the last burst of a block, in X, tells that light was there.
    bench = opened(Given(True))
    bench.link.client.load(BLOCK, DATA)
    plays, play = [0], bench.bench.scene.play

    def unplugged_after_the_search(
        drives: Mapping[str, Drive], records: Mapping[str, Recording]
    ) -> dict[str, Record]:
        plays[0] += 1
        if plays[0] == 6:
            bench.bench.inject(Fault(kind=FaultKind.FIBRE_UNPLUGGED, target="back"))
        return play(drives, records)

    bench.bench.scene.play = unplugged_after_the_search  # type: ignore[method-assign]
    with pytest.raises(
        PhaseError, match=r"return_phase: the pilots of a burst in X stand at -?0\.0"
    ):
        bench.link.server.send(BLOCK, MEANS)
