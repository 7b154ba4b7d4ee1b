"""One million symbols at 4 samples through the optical scene and the receiver, against OptiCommPy.

The reference is OptiCommPy's own chain of the same stages: root-raised-cosine pulses, modulator,
20 km of fibre with loss and dispersion, two lasers of 10 kHz, a coherent receiver with shot and
thermal noise, an 8-bit converter, the matched filter. Ours does more: synchronisation, clock
recovery, phase tracking and the shot-noise unit are part of the timed chain. Ours records one real
detector at an intermediate frequency, the reference the two of a phase-diverse receiver.

OptiCommPy is not a dependency (`pip install OptiCommPy`, GPL-3.0); without it, or with `--alone`,
our own time and memory are printed. Each chain runs in a process of its own, so that its peak
memory is its own; the first run of the reference compiles and is not counted.
"""

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace

SYMBOLS = 1_000_000
SAMPLES_PER_SYMBOL = 4
FIBRE_KM = 20.0
LINEWIDTH_HZ = 10e3


def ours(symbols: int, repeats: int) -> list[float]:
    import numpy as np

    from drivers.optics.burst import BurstFormat, BurstLayout, compose_weights
    from drivers.optics.modulation import volts_from_amplitude
    from drivers.optics.pulses import root_raised_cosine_pulse
    from drivers.optics.receiver import Receiver
    from sim_backend.scene.converters import AdcSettings, Drive, Recording
    from sim_backend.scene.fibre import FibreSettings
    from sim_backend.scene.lasers import LaserSettings
    from sim_backend.scene.reference import ReferenceScene
    from sim_backend.scene.reference_settings import ReferenceSettings, wavelength_at_offset_m

    burst = BurstFormat(
        symbol_rate_hz=100e6,
        samples_per_symbol=SAMPLES_PER_SYMBOL,
        if_cycles_per_symbol=1.0,
        pulse=root_raised_cosine_pulse(SAMPLES_PER_SYMBOL, roll_off=0.2, span_slots=17),
    )
    fibre = FibreSettings(length_m=FIBRE_KM * 1e3, polarisation_scrambled=False)
    laser = LaserSettings(linewidth_hz=LINEWIDTH_HZ, frequency_drift_hz=0.0)
    settings = ReferenceSettings(
        server_laser=laser,
        client_oscillator_laser=replace(
            laser, power_w=5e-3, wavelength_m=wavelength_at_offset_m(-100e6)
        ),
        forward_fibre=fibre,
        return_fibre=fibre,
        tap=0.5,
        client_adc=AdcSettings(bits=8, effective_bits=8.0),
        lowest_rate_hz=burst.sample_rate_hz,
    )
    scene = ReferenceScene(settings, seed=1)
    for source in (scene.server_laser, scene.client_oscillator_laser):
        source.set_emission(True)
    scene.clock.advance(60.0)
    scene.weight_modulator.bias_v = scene.weight_modulator.null_v()
    scene.data_modulator.bias_v = scene.data_modulator.null_v()
    scene.idle_v["data"] = settings.data_modulator.half_wave_v
    scene.launch_attenuator.shutter_open = True
    scene.launch_attenuator.set_attenuation_db(40.0)
    scene.clock.advance(10.0)
    layout = BurstLayout(format=burst, data_symbols=symbols)
    receiver = Receiver(burst)
    delay = fibre.delay_s * burst.sample_rate_hz
    times = []
    for repeat in range(repeats):
        generator = np.random.default_rng(repeat)
        begin = time.perf_counter()
        means = generator.standard_normal(symbols, dtype=np.float32)
        samples = compose_weights(layout, 0.02 * means, 0.5)
        drive = Drive(
            volts=volts_from_amplitude(samples, settings.weight_modulator.half_wave_v),
            rate_hz=burst.sample_rate_hz,
        )
        recording = Recording(
            rate_hz=burst.sample_rate_hz,
            samples=layout.total_samples + round(delay) + 512,
            range_v=0.2,
        )
        record = scene.play({"weight": drive}, {"client": recording})["client"]
        found = receiver.process(record.volts, layout, electronic_noise=0.0)
        times.append(time.perf_counter() - begin)
        gain = float(np.vdot(found.data, means).real) / float(means @ means)
        left = found.data.real - gain * means
        assert abs(gain) > 0.05, "the chain must really carry the symbols"
        assert 0.8 < float(np.var(left)) < 1.4, "and end in shot-noise units"
        del samples, drive, record, found, left
    return times


def reference(symbols: int, repeats: int) -> list[float]:
    import numpy as np
    from optic.dsp.core import firFilter, pulseShape, upsample
    from optic.models.channels import linearFiberChannel
    from optic.models.devices import adc, basicLaserModel, coherentReceiver, iqm
    from optic.utils import parameters

    def settings(**values: object) -> object:
        made = parameters()
        for name, value in values.items():
            setattr(made, name, value)
        return made

    rate, carrier = 1e9, 193.1e12
    sampling = SAMPLES_PER_SYMBOL * rate
    pulse = pulseShape(
        settings(pulseType="rrc", SpS=SAMPLES_PER_SYMBOL, nFilterTaps=401, rollOff=0.2)
    )
    times = []
    for repeat in range(repeats + 1):
        generator = np.random.default_rng(repeat)
        begin = time.perf_counter()
        drawn = generator.standard_normal(symbols) + 1j * generator.standard_normal(symbols)
        shaped = firFilter(pulse, upsample(drawn / np.sqrt(2), SAMPLES_PER_SYMBOL))
        length = shaped.size
        light = basicLaserModel(
            settings(P=-40, lw=LINEWIDTH_HZ, RIN_var=0, Fs=sampling, Ns=length, seed=3)
        )
        light = iqm(light, 0.1 * shaped, settings(Vpi=2, VbI=-2, VbQ=-2, Vphi=1))
        light = linearFiberChannel(
            light, settings(L=FIBRE_KM, alpha=0.2, D=17.0, Fc=carrier, Fs=sampling)
        )
        oscillator = basicLaserModel(
            settings(P=10, lw=LINEWIDTH_HZ, RIN_var=0, Fs=sampling, Ns=length, seed=9)
        )
        current = coherentReceiver(
            light,
            oscillator,
            settings(Fs=sampling),
            settings(Fs=sampling, B=rate, R=0.9, bandwidthLimitation=True),
        )
        codes = adc(
            current / (4 * current.real.std()),
            settings(inFs=sampling, outFs=sampling, nBits=8, ENOB=8, AAF=False),
        )
        firFilter(pulse, codes)[::SAMPLES_PER_SYMBOL]
        times.append(time.perf_counter() - begin)
    return times[1:]


def child(which: str, symbols: int, repeats: int) -> tuple[list[float], float]:
    command = [sys.executable, __file__, "--chain", which]
    command += ["--symbols", str(symbols), "--repeats", str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{which} failed:\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    return found["times"], found["memory"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=SYMBOLS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="do not run the reference")
    parser.add_argument("--chain", choices=("ours", "reference"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    symbols, repeats = arguments.symbols, arguments.repeats
    if arguments.chain:
        chain = ours if arguments.chain == "ours" else reference
        times = chain(symbols, repeats)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"times": times, "memory": memory}))
        return
    chains = ["ours"]
    if not arguments.alone and importlib.util.find_spec("optic") is not None:
        chains.append("reference")
    best: dict[str, float] = {}
    for which in chains:
        times, memory = child(which, symbols, repeats)
        best[which] = min(times)
        print(
            f"{which:10s} best {min(times):.2f} s, all {[round(t, 2) for t in times]}, "
            f"peak memory {memory:.0f} MiB"
        )
    if "reference" in best:
        print(
            f"ratio OptiCommPy / ours (best of {repeats}): {best['reference'] / best['ours']:.1f}"
        )
    else:
        print("OptiCommPy is not installed: no ratio (pip install OptiCommPy)")


if __name__ == "__main__":
    main()
