"""The instruments of the bench with an amplifier act on the parts of its scene."""

import numpy as np
import pytest

from drivers.errors import ConfigurationError, InstrumentError
from drivers.instruments import BiasPoint, DigitiserLimits, Instrument, Range, Trigger
from sim_backend.instruments.array_digitiser import SimulatedArrayDigitiser
from sim_backend.instruments.faults import Fault, FaultKind, FaultPlan
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.scene.amplifier_bench import AmplifierBenchSettings
from sim_backend.scene.mesh import MeshSettings

SETTINGS = AmplifierBenchSettings(mesh=MeshSettings(ports=4))


def bench(faults: FaultPlan | None = None) -> SimulatedAmplifierBench:
    return SimulatedAmplifierBench(SETTINGS, seed=3, faults=faults)


def everything(made: SimulatedAmplifierBench) -> list[Instrument]:
    return [
        made.laser("server", "laser"),
        made.laser("server", "return_oscillator"),
        made.laser("client", "oscillator"),
        made.laser("client", "seed_laser"),
        made.weight_generator(),
        made.weight_bias(),
        made.attenuator(),
        made.launch_power_meter(),
        made.mesh_driver("mesh_driver"),
        made.mesh_driver("return_mesh_driver"),
        made.optical_amplifier(),
        made.tap_digitiser(),
        made.return_digitiser(),
    ]


def test_instruments_open_safe_and_close() -> None:
    for instrument in everything(bench()):
        assert instrument.simulated
        instrument.open()
        assert instrument.is_safe(), instrument.name
        instrument.close()


def test_laser_and_mesh_drivers_act_on_their_own_parts() -> None:
    made = bench()
    scene = made.scene
    for party, role, source in (
        ("server", "laser", scene.server_laser),
        ("server", "return_oscillator", scene.server_oscillator_laser),
        ("client", "oscillator", scene.client_oscillator_laser),
        ("client", "seed_laser", scene.seed_laser),
    ):
        with made.laser(party, role) as laser:
            laser.set_emission(True)
            assert source.emission(), role
        assert not source.emission(), role
    for role, mesh in (
        ("mesh_driver", scene.forward_mesh),
        ("return_mesh_driver", scene.return_mesh),
    ):
        with made.mesh_driver(role) as driver:
            volts = np.linspace(0.1, 5.0, mesh.channels)
            driver.set_voltages(volts)
            np.testing.assert_array_equal(mesh.voltages(), volts)


def test_amplifier_pumps_only_with_its_seed() -> None:
    made = bench()
    amplifier = made.optical_amplifier()
    with made.laser("client", "seed_laser") as seed, amplifier:
        seed.set_emission(True)
        made.clock.advance(10.0)
        assert amplifier.seed_power_w() == pytest.approx(1e-5, rel=1e-3)
        amplifier.set_gain_db(6.0)
        amplifier.set_pump(True)
        assert made.scene.amplifier.pump
        assert made.scene.amplifier.gain() == pytest.approx(10**0.6)
    assert not made.scene.amplifier.pump


def test_launch_meter_sees_what_all_modulators_let_through() -> None:
    made = bench()
    generator, bias, attenuator = made.weight_generator(), made.weight_bias(), made.attenuator()
    meter = made.launch_power_meter()
    with made.laser("server", "laser") as laser, generator, bias, attenuator, meter:
        laser.set_emission(True)
        attenuator.set_attenuation_db(20.0)
        attenuator.set_shutter(True)
        for port in range(4):
            bias.lock(port, BiasPoint.NULL)
            generator.set_output(port, True)
        made.clock.advance(60.0)
        dark_w = meter.power_w()
        for port in range(2):
            generator.set_idle(port, SETTINGS.weight_modulator.half_wave_v)
        # Two of four ports fully open: 20 mW through 1 + 4 + 20 dB, to the meter's 1 %.
        assert meter.power_w() == pytest.approx(0.5 * 20e-3 * 10**-2.5, rel=0.02)
        assert dark_w < 1e-3 * meter.power_w()


def test_return_digitiser_records_every_port_in_one_shot() -> None:
    made = bench()
    generator, back, tap = made.weight_generator(), made.return_digitiser(), made.tap_digitiser()
    with made.laser("server", "return_oscillator") as oscillator, generator, back, tap:
        oscillator.set_emission(True)
        made.clock.advance(10.0)
        for digitiser in (back, tap):
            digitiser.configure(800e6, 4000, 1.0)
            digitiser.arm(Trigger.EXTERNAL)
        generator.set_sample_rate(800e6)
        generator.load(0, np.zeros(4000, dtype=np.float32))
        generator.arm(Trigger.SOFTWARE)
        generator.trigger()
        trace, dark = back.fetch(), tap.fetch()
    assert trace.volts.shape == (4, 4000)
    assert trace.clipped == 0
    spread = trace.volts.std(axis=1)
    assert spread.min() > 3 * dark.volts.std()  # lit ports against the client's dark detector
    # Independent noise: correlations of 4000 samples have a deviation of 0.016; 0.11 is 7 of them.
    likeness = np.asarray(np.corrcoef(trace.volts)) - np.eye(4)
    assert np.abs(likeness).max() < 0.11


def test_return_digitiser_records_at_once_and_aborts() -> None:
    made = bench()
    with made.return_digitiser() as back:
        back.configure(800e6, 512, 1.0)
        back.arm(Trigger.IMMEDIATE)
        assert back.is_done()
        assert back.fetch().volts.shape == (4, 512)
        back.arm(Trigger.EXTERNAL)
        assert not back.is_done()
        back.abort()
        assert back.is_safe()


def test_instruments_made_twice_are_the_same_device() -> None:
    made = bench()
    with made.weight_generator() as first, made.weight_generator() as second:
        first.set_sample_rate(400e6)
        assert second.sample_rate_hz() == 400e6
    assert len(made.line.generators) == 1
    made.return_digitiser()
    made.return_digitiser()
    assert len(made.line.digitisers) == 4


def test_faults_hit_the_instrument_they_name() -> None:
    plan = FaultPlan([Fault(kind=FaultKind.TIME_OUT, target="mesh_driver", start_s=1.0)])
    made = bench(plan)
    with made.mesh_driver("return_mesh_driver") as other:
        driver = made.mesh_driver("mesh_driver")
        driver.open()
        made.clock.advance(2.0)
        with pytest.raises(InstrumentError, match="mesh_driver: no answer"):
            driver.voltages()
        assert other.voltages().size == 16


def test_bench_refuses_faults_of_the_light() -> None:
    plan = FaultPlan([Fault(kind=FaultKind.LASER_MODE_HOP, target="laser")])
    with pytest.raises(ConfigurationError, match="only instruments fail"):
        bench(plan)


def test_bench_refuses_roles_that_it_does_not_have() -> None:
    with pytest.raises(ConfigurationError, match="nothing for an instrument in role"):
        bench().laser("client", "laser")
    with pytest.raises(ConfigurationError, match="places for mesh_driver, return_mesh_driver"):
        bench().mesh_driver("mesh")
    with pytest.raises(ConfigurationError, match="no power point 'tap'"):
        bench().scene.idle_power_w("tap")


def test_array_digitiser_refuses_when_channels_and_detectors_differ() -> None:
    made = bench()
    made.tap_digitiser()
    limits = DigitiserLimits(
        channels=2,
        sample_rate_hz=Range(lowest=1e6, highest=4e9),
        samples=1000,
        range_v=Range(lowest=0.1, highest=1.0),
        bits=12,
    )
    with pytest.raises(ConfigurationError, match="2 channels for 1 detectors"):
        SimulatedArrayDigitiser(
            "digitiser",
            limits=limits,
            remote=made._remote("client", "digitiser", "digitiser"),
            units=list(made.line.digitisers.values()),
            line=made.line,
        )
