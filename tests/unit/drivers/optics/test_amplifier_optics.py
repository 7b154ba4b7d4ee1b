"""Both ends of the bench with an amplifier: what they refuse, and what happens to the block."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from drivers.backend import Block
from drivers.block_order import BlockOrder
from drivers.errors import (
    ConfigurationError,
    LimitError,
    OpticsError,
    ReadbackError,
    SafetyError,
    SynchronisationError,
    TraceError,
)
from drivers.instruments import Attenuator, Laser, OpticalAmplifier, PhaseDriver
from drivers.optics.amplifier_server import AmplifierServerInstruments, AmplifierServerOptics
from drivers.optics.amplifier_values import PortAgreement, port_format
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.burst_turns import BurstTurns
from drivers.optics.mesh_model import MeshModel
from sim_backend.scene.converters import Record
from tests.amplifier_bench import OpenAmplifierBench, bench_settings, open_amplifier_bench

BLOCK = Block(run=0, layer=0, tile=0, first_input=0, inputs=2, first_row=0, rows=5, modes=3)


@pytest.fixture
def opened() -> OpenAmplifierBench:
    return open_amplifier_bench(bench_settings(ports=4), seed=2)


def data(block: Block = BLOCK) -> torch.Tensor:
    values = torch.randn(block.inputs, block.modes, generator=torch.Generator().manual_seed(3))
    norms: torch.Tensor = torch.linalg.vector_norm(values, dim=1, keepdim=True)
    return values / norms


def means(block: Block = BLOCK) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(1, block.rows, block.modes, generator=generator)


def in_x(block: Block = BLOCK) -> torch.Tensor:
    return torch.zeros(block.inputs, block.rows, dtype=torch.bool)


def send(opened: OpenAmplifierBench, block: Block = BLOCK) -> None:
    opened.link.client.load(block, data(block))
    opened.link.server.send(block, means(block))


def amplifier_of(opened: OpenAmplifierBench) -> OpticalAmplifier:
    found = opened.instruments["amplifier"]
    assert isinstance(found, OpticalAmplifier)
    return found


def attenuator_of(opened: OpenAmplifierBench) -> Attenuator:
    found = opened.instruments["attenuator"]
    assert isinstance(found, Attenuator)
    return found


def test_complex_data_come_out_along_their_conjugate(opened: OpenAmplifierBench) -> None:
    """Noise of 1.2 over 100 rows leaves 0.12: 0.9 is seven standard deviations."""
    block = replace(BLOCK, rows=100)
    vector = torch.tensor([[1.0, 1.0j, 0.5 - 0.5j], [0.2j, -1.0, 1.0j]])
    vector = vector / torch.linalg.vector_norm(vector, dim=1, keepdim=True)
    launched = torch.tensor([20.0, -24.0, 22.0]).expand(1, 100, 3)
    opened.link.client.load(block, vector)
    opened.link.server.send(block, launched)
    outcome = opened.link.client.measure(block).mean(dim=1)
    gain = opened.link.client.describe().signal_gain
    expected = gain * (launched[0, 0].to(torch.complex64) * vector.conj()).sum(-1).real
    assert float(expected.abs().min()) > 5
    torch.testing.assert_close(outcome, expected, rtol=0.02, atol=0.9)


def test_every_data_vector_gets_its_own_voltages(
    opened: OpenAmplifierBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = opened.instruments["mesh_driver"]
    assert isinstance(mesh, PhaseDriver)
    seen: list[NDArray[np.float64]] = []
    monkeypatch.setattr(mesh, "set_voltages", seen.append)
    send(opened)
    assert len(seen) == BLOCK.inputs
    assert not np.allclose(seen[0], seen[1])


def test_send_refuses_when_the_pump_is_off_and_the_block_is_lost(
    opened: OpenAmplifierBench,
) -> None:
    amplifier_of(opened).set_pump(False)
    with pytest.raises(ReadbackError, match="pump is off"):
        send(opened)
    with pytest.raises(OpticsError, match="nothing was sent"):
        opened.link.client.measure(BLOCK)
    amplifier_of(opened).set_pump(True)
    send(opened)  # it was never played, so the frames may be sent
    assert opened.link.client.measure(BLOCK).shape == (2, 5)


def test_send_refuses_when_the_gain_was_changed(opened: OpenAmplifierBench) -> None:
    amplifier_of(opened).set_gain_db(5.0)
    with pytest.raises(ReadbackError, match=r"gain of 5\.00 dB"):
        send(opened)


def test_send_refuses_when_the_seed_is_gone(opened: OpenAmplifierBench) -> None:
    seed = opened.instruments["seed_laser"]
    assert isinstance(seed, Laser)
    seed.set_emission(False)
    with pytest.raises(SafetyError, match="seed power"):
        send(opened)
    assert not amplifier_of(opened).pump()


def test_send_refuses_when_the_attenuator_was_moved(opened: OpenAmplifierBench) -> None:
    attenuator_of(opened).set_attenuation_db(60.0)
    with pytest.raises(ReadbackError, match=r"attenuation is 60\.000 dB"):
        send(opened)


def test_send_refuses_complex_and_bright_light(opened: OpenAmplifierBench) -> None:
    opened.link.client.load(BLOCK, data())
    with pytest.raises(LimitError, match="real encoding"):
        opened.link.server.send(BLOCK, means().to(torch.complex64))
    with pytest.raises(LimitError, match="lower the photons per symbol"):
        opened.link.server.send(BLOCK, 1000 * means())


def test_measure_and_collect_refuse_when_no_light_arrived(opened: OpenAmplifierBench) -> None:
    attenuator_of(opened).set_shutter(False)
    send(opened)
    with pytest.raises(SynchronisationError, match="no light"):
        opened.link.client.measure(BLOCK)
    with pytest.raises(OpticsError, match="no returned light"):
        opened.link.server.collect_full(BLOCK, in_x())


def test_collect_loses_the_block_when_a_port_is_dark(opened: OpenAmplifierBench) -> None:
    scene = opened.bench.scene
    send(opened)
    opened.link.client.measure(BLOCK)
    second = replace(BLOCK, first_input=2)
    scene.server_oscillator_laser.set_emission(False)
    send(opened, second)
    opened.link.client.measure(second)
    with pytest.raises((SynchronisationError, TraceError), match="channel 0"):
        opened.link.server.collect_full(second, in_x())
    with pytest.raises(OpticsError, match="no returned light"):
        opened.link.server.collect_full(second, in_x())
    assert opened.link.server.collect_full(BLOCK, in_x()).shape == (2, 5, 3)


def test_clipped_records_are_refused_and_the_bench_is_told() -> None:
    told: list[str] = []
    opened = open_amplifier_bench(
        bench_settings(ports=4), seed=2, client_range_v=0.02, on_failure=told.append
    )
    send(opened)
    with pytest.raises(TraceError, match="use a larger range or less light"):
        opened.link.client.measure(BLOCK)
    assert len(told) == 1
    assert "larger range" in told[0]


def test_old_records_are_refused() -> None:
    """The digitiser delivers the record of the first data vector again for the second."""
    opened = open_amplifier_bench(bench_settings(ports=4), seed=2)
    unit = opened.bench.line.digitisers["client"]
    take = unit.take
    first: list[Record] = []

    def stale(record: Record) -> None:
        first.append(record)
        take(first[0])

    unit.take = stale  # type: ignore[method-assign]
    send(opened)
    with pytest.raises(TraceError, match="delivered old memory"):
        opened.link.client.measure(BLOCK)


def test_server_refuses_when_no_client_has_joined(opened: OpenAmplifierBench) -> None:
    parts = opened.instruments
    order = BlockOrder(4)
    server = AmplifierServerOptics(
        AmplifierServerInstruments(
            generator=parts["weight_generator"],  # type: ignore[arg-type]
            attenuator=attenuator_of(opened),
            digitiser=parts["return_digitiser"],  # type: ignore[arg-type]
        ),
        opened.link.settings.server,
        opened.link.settings.agreement,
        order,
        BurstTurns(),
    )
    order.loaded(BLOCK)
    with pytest.raises(OpticsError, match="no client has joined"):
        server.send(BLOCK, means())


def test_agreement_refuses_what_does_not_fit() -> None:
    frames = BenchFrames(format=port_format(), modes_per_frame=8)
    with pytest.raises(ConfigurationError, match="a mode needs a port"):
        PortAgreement(ports=4, frames=frames)
    short = PortAgreement(ports=8, frames=replace(frames, largest_burst_samples=1000))
    with pytest.raises(LimitError, match="rows_per_block lower"):
        short.burst(BLOCK)


def test_values_refuse_what_cannot_be(opened: OpenAmplifierBench) -> None:
    server, client = opened.link.settings.server, opened.link.settings.client
    with pytest.raises(ConfigurationError, match="one of each kind to every port"):
        replace(server, shot_noise_v2=(1e-6,))
    with pytest.raises(ConfigurationError, match="full_photons is 0"):
        replace(server, full_photons=(0.0,) * 4)
    with pytest.raises(ConfigurationError, match="signal_gain is nan"):
        replace(client, signal_gain=math.nan)
    with pytest.raises(ConfigurationError, match="4 and 2 ports"):
        replace(client, return_mesh=MeshModel.perfect(2, 4.0))
