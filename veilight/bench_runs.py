"""From open, calibrated benches to a link that the engine can run over: the light switched on.

Owns the order: calibrated values first (and their refusal), then polarisation, lasers, biases,
attenuator, switches, generators. Every failure on the way brings both benches to their safe state.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drivers.bench import LightPlan
from drivers.errors import ConfigurationError
from drivers.instruments import Attenuator, Digitiser, PolarisationController, WaveformGenerator
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.bench_link import BenchLink, BenchLinkSettings
from drivers.optics.client_optics import ClientInstruments
from drivers.optics.server_optics import ServerInstruments
from drivers.receivers import PassiveTap

if TYPE_CHECKING:
    from calibration.bench_values import BenchValues
    from calibration.store import Store
    from veilight.bench_session import BenchPair

__all__ = ["LitBench", "lit_bench"]

LIGHT = "light"
"""Position of a switch that lets light through."""

POWER_SETTINGS = {
    ("server", "laser"): "server_laser_w",
    ("server", "return_oscillator"): "server_oscillator_w",
    ("client", "oscillator"): "client_oscillator_w",
}
"""Lasers by party and role, and the routines' setting that holds the power of their calibration."""


@dataclass(frozen=True, kw_only=True)
class LitBench:
    """A bench with its light on.

    Args:
        link: for the engine.
        taints: what stood against the calibration and was overridden.
    """

    link: BenchLink
    taints: tuple[str, ...]


@contextmanager
def lit_bench(
    pair: "BenchPair", store: "Store", *, override: bool = False, peak_to_average: float = 4.0
) -> Iterator[LitBench]:
    """Switch the light on as it was when the bench was calibrated, and off at the end.

    Args:
        pair: open, armed benches.
        store: of their calibrations.
        override: use calibrations in spite of what stands against them; the taints say what.
        peak_to_average: of the data; see `BenchFrames`.

    Raises:
        CalibrationError: a result is missing, or something stands against one.
        ConfigurationError: the bench files do not describe what can be run.
        SafetyError: the light could not be switched on in the safe order.
        InstrumentError: an instrument failed.
    """
    from calibration.bench_values import load_bench_values
    from calibration.checks import Conditions

    access = pair.access
    conditions = Conditions(
        now=access.now(),
        identities=access.identities,
        temperature_c=access.temperature_c(),
        simulated=access.simulated,
    )
    values = load_bench_values(store, conditions, override=override)
    frames = _frames(pair, peak_to_average)
    try:
        _switch_on(pair, store, values)
        server = ServerInstruments(
            generator=pair.server.get("weight_generator", WaveformGenerator),
            attenuator=pair.server.get("attenuator", Attenuator),
            digitiser=pair.server.get("return_digitiser", Digitiser),
        )
        client = ClientInstruments(
            generator=pair.client.get("data_generator", WaveformGenerator),
            digitiser=pair.client.get("tap_digitiser", Digitiser),
        )
        for generator in (server.generator, client.generator):
            generator.set_sample_rate(frames.format.sample_rate_hz)
            generator.set_output(0, True)
        settings = BenchLinkSettings(
            receiver=PassiveTap(tap_fraction=values.tap_fraction),
            frames=frames,
            server=values.server,
            client=values.client,
        )
        yield LitBench(
            link=BenchLink(server, client, settings, on_failure=pair.make_safe),
            taints=values.taints,
        )
    except BaseException as error:
        pair.make_safe(f"{type(error).__name__} during a run")
        raise
    for bench in (pair.server, pair.client):
        bench.safety.switch_off()


def _frames(pair: "BenchPair", peak_to_average: float) -> BenchFrames:
    """The agreement that both bench files state."""
    server, client = pair.server.file.content, pair.client.file.content
    if server.frame != client.frame:
        raise ConfigurationError(
            f"{pair.server.file.where} and {pair.client.file.where}: [frame] differs; both parties "
            "must agree on how bursts look"
        )
    memories = [
        limits.samples
        for limits in (
            pair.server.get("weight_generator", WaveformGenerator).limits,
            pair.client.get("data_generator", WaveformGenerator).limits,
            pair.server.get("return_digitiser", Digitiser).limits,
            pair.client.get("tap_digitiser", Digitiser).limits,
        )
    ]
    simulated = pair.access.simulated
    return BenchFrames(
        format=server.frame.burst_format(),
        pilot_photons=server.frame.pilot_photons,
        peak_to_average=peak_to_average,
        largest_burst_samples=min([*memories, BenchFrames().largest_burst_samples]),
        backend=f"bench ({pair.access.backend})",
        simulated=simulated,
        seed=_seed(pair) if simulated else None,
    )


def _seed(pair: "BenchPair") -> int | None:
    scene = pair.server.file.content.scene
    seed = None if scene is None else scene.parameters.get("seed")
    return seed if isinstance(seed, int) else 0


def _switch_on(pair: "BenchPair", store: "Store", values: "BenchValues") -> None:
    calibrated = store.latest("loss")
    assert calibrated is not None  # its absence was refused with the values
    for party, bench in (("client", pair.client), ("server", pair.server)):
        powers = {
            role: float(calibrated.settings[setting])
            for (owner, role), setting in POWER_SETTINGS.items()
            if owner == party and bench.has(role) and setting in calibrated.settings
        }
        role = "polarisation" if party == "client" else "return_polarisation"
        angles = values.polarisation_rad.get("client" if party == "client" else "server", ())
        if bench.has(role) and angles:
            controller = bench.get(role, PolarisationController)
            controller.set_angles(np.asarray(angles, dtype=np.float64))
        switch = "signal_switch" if party == "client" else "return_switch"
        bench.safety.switch_on(
            LightPlan(
                power_w=powers,
                attenuation_db={"attenuator": values.server.attenuation_db}
                if party == "server"
                else {},
                switches={switch: LIGHT} if bench.has(switch) else {},
            )
        )
