"""Both ends of a bench over simulated instruments: what they ask, refuse and claim."""

import math
from dataclasses import replace

import pytest
import torch

from drivers.backend import Block
from drivers.errors import (
    ConfigurationError,
    InstrumentError,
    LimitError,
    OpticsError,
    ReadbackError,
)
from drivers.instruments import (
    Attenuator,
    BiasController,
    GeneratorLimits,
    Laser,
    PowerMeter,
    Range,
    WaveformGenerator,
)
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.bench_link import BenchLink
from drivers.optics.client_optics import ClientInstruments
from drivers.optics.link_values import ClientValues, ServerValues
from drivers.optics.standing_checks import StandingInstruments
from sim_backend.instruments import SimulatedBench
from tests.waveform_bench import WaveformBench, open_bench

MODES = 16
SAMPLES = 1 << 17


def bench(*, standing: bool = False) -> WaveformBench:
    return open_bench(modes_per_frame=MODES, calibration_samples=SAMPLES, standing=standing)


def block_of(first_input: int = 0, inputs: int = 8) -> Block:
    return Block(
        run=0,
        layer=0,
        tile=0,
        first_input=first_input,
        inputs=inputs,
        first_row=0,
        rows=4,
        modes=MODES,
    )


DATA = torch.full((8, MODES), 0.25)
MEANS = torch.full((1, 4, MODES), 1.0)


def test_server_claims_its_converter_in_shot_noise_units() -> None:
    link = bench().link
    info, values = link.server.describe(), link.settings.server
    root = values.shot_noise_v2**0.5
    assert info.converter_step_snu == pytest.approx(2 / 4096 / root)
    # A pulse of amplitude a has the peak a p sqrt(2 N0), p the largest tap.
    peak = link.settings.frames.format.pulse.peak
    assert info.converter_range_snu == pytest.approx(1 / (peak * 2**0.5 * root))
    steps = info.converter_step_snu**2 / 12
    assert info.electronic_noise_snu == pytest.approx(values.electronic_noise_snu - steps)


def test_client_claims_noise_weighted_with_the_peak_to_average_ratio() -> None:
    link = bench().link
    values = link.settings.client
    claimed = link.client.describe().outcome_variance_snu
    assert claimed == pytest.approx(
        1 + values.electronic_noise_snu * link.settings.frames.peak_to_average
    )


def test_server_refuses_light_when_the_bench_cannot_make_so_much() -> None:
    link = bench().link
    link.client.load(block_of(), DATA)
    with pytest.raises(LimitError, match=r"pulses of .* photons .* lower the photons"):
        link.server.send(block_of(), 200 * MEANS)
    # Nothing was sent, so that the block can still be sent with less.
    link.server.send(block_of(), MEANS)


@pytest.mark.parametrize("end", ["client", "server"])
def test_ends_refuse_complex_light(end: str) -> None:
    link = bench().link
    if end == "client":
        with pytest.raises(LimitError, match="data modulator"):
            link.client.load(block_of(), DATA * 1j)
        return
    link.client.load(block_of(), DATA)
    with pytest.raises(LimitError, match="weight modulator"):
        link.server.send(block_of(), MEANS * 1j)


def test_send_stops_when_the_attenuator_was_moved() -> None:
    made = bench()
    attenuator = made.instruments["attenuator"]
    assert isinstance(attenuator, Attenuator)
    attenuator.set_attenuation_db(made.attenuation_db + 0.5)
    made.link.client.load(block_of(), DATA)
    with pytest.raises(ReadbackError, match="launch was calibrated at"):
        made.link.server.send(block_of(), MEANS)
    with pytest.raises(OpticsError, match="nothing was sent"):
        made.link.client.measure(block_of())


def test_all_converters_are_disarmed_when_a_block_fails() -> None:
    made = bench()
    made.link.client.load(block_of(), DATA)
    generator = made.instruments["data_generator"]
    assert isinstance(generator, WaveformGenerator)
    assert generator.is_armed()
    attenuator = made.instruments["attenuator"]
    assert isinstance(attenuator, Attenuator)
    attenuator.set_attenuation_db(50.0)
    with pytest.raises(ReadbackError):
        made.link.server.send(block_of(), MEANS)
    assert not generator.is_armed()
    for role in ("tap_digitiser", "return_digitiser"):
        assert made.instruments[role].is_safe()


def test_loading_again_replaces_what_was_loaded() -> None:
    link = bench().link
    link.client.load(block_of(), DATA)
    other = DATA.clone()
    other[:, ::2] *= -1
    link.client.load(block_of(), other)
    link.server.send(block_of(), 8 * MEANS)
    # The sum of the products is 0 for the second data, 32 for the first; noise has a variance of 1.
    assert link.client.measure(block_of()).abs().mean() < 3


def test_returns_can_be_collected_in_any_order_after_several_blocks() -> None:
    link = bench().link
    mask = torch.zeros(8, 4, dtype=torch.bool)
    for first in (0, 8, 16):
        link.client.load(block_of(first), DATA)
        link.server.send(block_of(first), (1 + first) * MEANS)
        link.client.measure(block_of(first))
    server = link.settings.server
    gain = server.forward_transmittance * 0.5 * server.return_transmittance
    gain = math.sqrt(gain * server.detection_efficiency)
    for first in (16, 0, 8):
        found = float(link.server.collect_full(block_of(first), mask).mean())
        # 512 values of variance 1, and the leak's error of 1/sqrt(1024).
        assert found == pytest.approx(gain * (1 + first), abs=6.5 * 0.054 + 0.02 * gain * first)


def test_outcomes_do_not_hold_what_leaks_through_the_modulator() -> None:
    # 80 mV beside its null the modulator lets an in-phase field of about 1 through, which sums to
    # four times that over 16 equal levels.
    made = bench()
    bias = made.instruments["weight_bias"]
    assert isinstance(bias, BiasController)
    null_v = bias.voltage(0)
    bias.unlock(0)
    bias.set_voltage(0, null_v + 0.08)
    link = made.link
    link.client.load(block_of(), DATA)
    link.server.send(block_of(), 0 * MEANS)
    mean = float(link.client.measure(block_of()).mean())
    last = link.client.last
    assert last is not None
    assert abs(last.shot_noise.leak.real) > 0.7
    # 32 outcomes of variance 1, and the leak's error of 1/sqrt(1024) summed as the leak is.
    assert abs(mean) < 6.5 * math.hypot(32**-0.5, 4 * 1024**-0.5)


def test_returns_do_not_hold_what_leaks_through_the_closed_modulator() -> None:
    link = bench().link
    block = block_of(inputs=32)
    link.client.load(block, DATA[:1].expand(32, MODES))
    link.server.send(block, 0 * MEANS)
    link.client.measure(block)
    returned = link.server.collect_full(block, torch.ones(32, 4, dtype=torch.bool))
    last = link.server.last
    assert last is not None
    assert abs(last.shot_noise.leak.imag) > 0.3
    # 2048 values of P and the leak's error: the leak itself would be far outside.
    assert abs(float(returned.mean())) < 6.5 * math.hypot(2048**-0.5, 1024**-0.5)


def test_load_refuses_a_generator_when_it_cannot_open_the_modulator() -> None:
    made = bench()
    weak = SimulatedBench(seed=1).waveform_generator(
        "client",
        "data_generator",
        limits=GeneratorLimits(
            channels=1,
            volts=Range(lowest=-1.0, highest=1.0),
            sample_rate_hz=Range(lowest=1e6, highest=1e9),
            samples=1 << 20,
            bits=14,
        ),
    )
    old = made.link
    digitiser = old.client._instruments.digitiser
    with pytest.raises(OpticsError, match="data_generator: reaches 1 V, the data modulator needs"):
        BenchLink(
            old.server._instruments,
            ClientInstruments(generator=weak, digitiser=digitiser),
            old.settings,
        )


def test_load_refuses_a_range_when_the_digitiser_applies_another() -> None:
    made = bench()
    settings = made.link.settings
    link = BenchLink(
        made.link.server._instruments,
        made.link.client._instruments,
        replace(settings, frames=replace(settings.frames, client_range_v=0.50005)),
    )
    with pytest.raises(ReadbackError, match=r"range is 0.501 V, 0.50005 V was agreed"):
        link.client.load(block_of(), DATA)


@pytest.mark.parametrize("role", ["laser", "weight_bias"])
def test_send_stops_when_the_server_has_let_go(role: str) -> None:
    made = bench(standing=True)
    made.link.client.load(block_of(), DATA)
    instrument = made.instruments[role]
    if isinstance(instrument, Laser):
        instrument.set_emission(False)
        says = "emission is off"
    else:
        assert isinstance(instrument, BiasController)
        instrument.unlock(0)
        says = "not locked"
    with pytest.raises(InstrumentError, match=f"{role}: .*{says}"):
        made.link.server.send(block_of(), MEANS)


def test_oscillator_check_passes_within_a_per_cent_and_is_left_out_without_calibration() -> None:
    made = bench()
    meter = made.instruments["server.oscillator_power_meter"]
    assert isinstance(meter, PowerMeter)
    standing = StandingInstruments(oscillator_meter=meter)
    now_w = meter.power_w()
    standing.check_oscillator(now_w / 1.009)
    standing.check_oscillator(0.0)
    for wrong_w in (now_w / 1.011, now_w / 0.989):
        with pytest.raises(InstrumentError, match="from its calibration"):
            standing.check_oscillator(wrong_w)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0], ids=["nan", "inf", "zero"])
def test_values_are_refused_when_they_are_no_calibration(value: float) -> None:
    link = bench().link
    kept: ServerValues | ClientValues
    for kept in (link.settings.server, link.settings.client):
        with pytest.raises(ConfigurationError, match="shot_noise_v2"):
            replace(kept, shot_noise_v2=value)


def test_waiting_gives_up_by_name_when_no_record_comes() -> None:
    made = bench()
    settings = made.link.settings
    quick: BenchFrames = replace(settings.frames, transfer_time_s=0.01)
    link = BenchLink(
        made.link.server._instruments,
        made.link.client._instruments,
        replace(settings, frames=quick),
    )
    link.client.load(block_of(), DATA)
    made.instruments["tap_digitiser"].make_safe()
    link.server.send(block_of(), MEANS)
    with pytest.raises(InstrumentError, match="tap_digitiser"):
        link.client.measure(block_of())


def test_frames_are_never_sent_again_in_a_run_when_the_trigger_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The generator may have played before its answer was lost: the client may have seen the light.
    made = bench()
    generator = made.instruments["weight_generator"]
    play = generator._trigger  # type: ignore[attr-defined]

    def played_without_answer() -> None:
        play()
        raise InstrumentError("weight_generator: no answer")

    monkeypatch.setattr(generator, "_trigger", played_without_answer)
    made.link.client.load(block_of(), DATA)
    with pytest.raises(InstrumentError, match="no answer"):
        made.link.server.send(block_of(), MEANS)
    monkeypatch.undo()
    with pytest.raises(OpticsError, match="nothing was sent"):
        made.link.client.measure(block_of())
    made.link.client.load(block_of(), DATA)
    with pytest.raises(OpticsError, match="next input of run 0 is 8"):
        made.link.server.send(block_of(), MEANS)
