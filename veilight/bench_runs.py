"""From open, calibrated benches to a link that the engine can run over: the light switched on.

Owns the order: calibrated values first (and their refusal), then polarisation, lasers, biases,
attenuator, switches, generators. Every failure on the way brings both benches to their safe state.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from drivers.bench import Bench, LightPlan
from drivers.errors import CalibrationError, LimitError
from drivers.instruments import (
    Attenuator,
    BiasController,
    Digitiser,
    Laser,
    PolarisationController,
    PowerMeter,
    WaveformGenerator,
)
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.bench_link import BenchLink, BenchLinkSettings
from drivers.optics.burst import BurstLayout
from drivers.optics.client_optics import ClientInstruments
from drivers.optics.server_optics import ServerInstruments
from drivers.optics.standing_checks import StandingInstruments
from drivers.receivers import PassiveTap

if TYPE_CHECKING:
    from calibration.bench_values import BenchValues
    from calibration.checks import Conditions
    from calibration.result import Setting
    from calibration.store import Store
    from drivers.optics.homodyne_link import HomodyneLink
    from protocol.plan import LayerPlan, Plan
    from veilight.bench_session import BenchPair

__all__ = [
    "bench_frames",
    "calibrated_values",
    "conditions_of",
    "lit_bench",
    "refuse_long_bursts",
    "scene_seed",
    "standing_instruments",
]

LIGHT = "light"
"""Position of a switch that lets light through."""

POWER_SETTINGS = {
    ("server", "laser"): "server_laser_w",
    ("server", "return_oscillator"): "server_oscillator_w",
    ("client", "oscillator"): "client_oscillator_w",
}
"""Lasers by party and role, and the routines' setting that holds the power of their calibration."""


def calibrated_values(
    pair: "BenchPair",
    store: "Store",
    *,
    settings: "Mapping[str, Mapping[str, Setting]] | None" = None,
    override: bool = False,
) -> "BenchValues":
    """The newest calibrations of a pair of benches, if they hold for it as it is now.

    Args:
        pair: open benches.
        store: of their calibrations.
        settings: routine -> settings that it was to be run with; what the bench files say where
            this is left out.
        override: use calibrations in spite of what stands against them; the taints say what. A
            missing one cannot be overridden.

    Raises:
        CalibrationError: a result is missing, or something stands against one: its age, another
            instrument, other settings than the bench files' now.
    """
    from calibration.bench_values import load_bench_values
    from veilight.bench_session import routines_of, settings_for

    conditions = conditions_of(pair, store)
    if settings is None:
        settings = settings_for(routines_of(pair), pair)
    return load_bench_values(
        store, conditions, settings=settings, override=override, homodyne=pair.is_homodyne
    )


def conditions_of(pair: "BenchPair", store: "Store") -> "Conditions":
    """Where and when the calibrations of a store are to be used.

    Args:
        pair: open benches.
        store: of their calibrations.

    Raises:
        CalibrationError: there is no such store.
    """
    from calibration.checks import Conditions

    if not store.path.exists():
        raise CalibrationError(
            f"there is no calibration store {store.path}; make one with `veilight calibrate all "
            f"--bench FILE --bench FILE`, or name it with --store"
        )
    access = pair.access
    return Conditions(
        now=access.now(),
        identities=access.identities,
        temperature_c=access.temperature_c(),
        simulated=access.simulated,
    )


@contextmanager
def lit_bench(
    pair: "BenchPair", store: "Store", values: "BenchValues", frames: BenchFrames
) -> "Iterator[BenchLink | HomodyneLink]":
    """Switch the light on as it was when the bench was calibrated, and off at the end.

    Args:
        pair: open, armed benches.
        store: of their calibrations.
        values: from `calibrated_values`.
        frames: from `bench_frames`.

    Yields:
        The link, for the engine.

    Raises:
        SafetyError: the light could not be switched on in the safe order.
        InstrumentError: an instrument failed.
    """
    try:
        _switch_on(pair, store, values)
        for bench, role in ((pair.server, "weight_generator"), (pair.client, "data_generator")):
            generator = bench.get(role, WaveformGenerator)
            generator.set_sample_rate(frames.format.sample_rate_hz)
            generator.set_idle(0, 0.0)  # a calibration may have left another level
            generator.set_output(0, True)
        if pair.is_homodyne:
            from veilight.homodyne_runs import homodyne_link

            yield homodyne_link(pair, values, frames)
        else:
            yield _heterodyne_link(pair, values, frames)
    except BaseException as error:
        pair.make_safe(f"{type(error).__name__} during a run")
        raise
    for bench in (pair.server, pair.client):
        bench.safety.switch_off()


def _heterodyne_link(pair: "BenchPair", values: "BenchValues", frames: BenchFrames) -> BenchLink:
    """Both ends on the benches' instruments."""
    settings = BenchLinkSettings(
        receiver=PassiveTap(tap_fraction=values.tap_fraction),
        frames=frames,
        server=values.server,
        client=values.client,
    )
    return BenchLink(
        ServerInstruments(
            generator=pair.server.get("weight_generator", WaveformGenerator),
            attenuator=pair.server.get("attenuator", Attenuator),
            digitiser=pair.server.get("return_digitiser", Digitiser),
            standing=standing_instruments(pair.server, "weight_bias"),
        ),
        ClientInstruments(
            generator=pair.client.get("data_generator", WaveformGenerator),
            digitiser=pair.client.get("tap_digitiser", Digitiser),
            standing=standing_instruments(pair.client, "data_bias"),
        ),
        settings,
        on_failure=pair.make_safe,
    )


def bench_frames(pair: "BenchPair", *, peak_to_average: float = 4.0) -> BenchFrames:
    """The agreement that both bench files state, with what their instruments can hold.

    Args:
        pair: open benches.
        peak_to_average: of the data; see `BenchFrames`.

    Raises:
        ConfigurationError: the files make no burst.
    """
    frame = pair.server.file.content.frame  # files that differ here are not opened together
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
        format=frame.burst_format(),
        pilot_photons=frame.pilot_photons,
        peak_to_average=peak_to_average,
        largest_burst_samples=min([*memories, BenchFrames().largest_burst_samples]),
        backend=f"bench ({pair.access.backend})",
        simulated=simulated,
        seed=scene_seed(pair) if simulated else None,
    )


def refuse_long_bursts(frames: BenchFrames, plan: "Plan", samples: int) -> None:
    """Refuse a session of which a block does not fit into the instruments, before any is sent.

    Args:
        frames: from `bench_frames`.
        plan: of the session; its photons do not matter here.
        samples: of the session.

    Raises:
        LimitError: a burst is too long; the message has the setting that fits.
    """

    def length(layer: "LayerPlan", inputs: int) -> int:
        # The first tile and the first rows are the longest.
        block = plan.block(0, layer, 0, next(plan.row_ranges(layer)), (0, inputs))
        return BurstLayout(format=frames.format, data_symbols=block.symbols).total_samples

    def of_block(layer: "LayerPlan") -> int:
        return length(layer, plan.largest_inputs(layer, samples))

    longest = max(plan.layers, key=of_block)
    inputs, memory = plan.largest_inputs(longest, samples), frames.largest_burst_samples
    needed = of_block(longest)
    if needed <= memory:
        return
    fits = bisect_right(range(1, inputs), memory, key=lambda count: length(longest, count))
    raise LimitError(
        f"layer {longest.layer}: a block of {inputs} data vectors needs a burst of {needed:.4g} "
        f"points, the instruments hold {memory:.4g}; in [protocol] set "
        + (
            f"inputs_per_block to at most {fits}"
            if fits
            else "inputs_per_block to 1 and rows_per_block so that fewer rows are sent at once"
        )
    )


def scene_seed(pair: "BenchPair") -> int | None:
    """Seed of simulated benches, as their files give it."""
    scene = pair.server.file.content.scene
    seed = None if scene is None else scene.parameters.get("seed")
    return seed if isinstance(seed, int) else 0


def standing_instruments(bench: Bench, bias: str) -> StandingInstruments:
    """What is looked at before every burst, as far as the bench has it.

    Args:
        bench: of one party.
        bias: role of its bias controller.
    """
    meter = "oscillator_power_meter"
    return StandingInstruments(
        lasers=tuple(found for found in bench.instruments.values() if isinstance(found, Laser)),
        bias=bench.get(bias, BiasController) if bench.has(bias) else None,
        oscillator_meter=bench.get(meter, PowerMeter) if bench.has(meter) else None,
    )


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
    if pair.shares_laser:
        # The client has no laser to wait for: its modulator was dark when its own light came on.
        pair.client.safety.lock_biases()
