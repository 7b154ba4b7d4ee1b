"""The simulated models of the reference bench: backend `sim`, one model per instrument kind.

All bench files that are registered together share one scene, so that the server's light reaches
the client. The scene's settings are the [scene] section of the files.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from drivers.bench.files import BenchFile
from drivers.bench.limits import InstrumentLimits
from drivers.bench.registry import ModelRegistry
from drivers.errors import ConfigurationError
from drivers.instruments import (
    Attenuator,
    BiasController,
    Digitiser,
    Instrument,
    Laser,
    PhaseDriver,
    PolarisationController,
    PowerMeter,
    Switch,
    WaveformGenerator,
)
from drivers.settings_tables import changed
from sim_backend.instruments.attenuator import ATTENUATOR_LIMITS
from sim_backend.instruments.bias_controller import BIAS_LIMITS, BiasSettings
from sim_backend.instruments.digitiser import DIGITISER_LIMITS
from sim_backend.instruments.faults import FaultPlan
from sim_backend.instruments.laser import LASER_LIMITS
from sim_backend.instruments.model_makers import (
    BACKEND,
    SimulatedModel,
    plain,
    register_all,
    simulated_clock,
    with_settings,
)
from sim_backend.instruments.phase_driver import OSCILLATOR_PHASE_LIMITS
from sim_backend.instruments.polarisation_controller import POLARISATION_LIMITS
from sim_backend.instruments.power_meter import POWER_METER_LIMITS
from sim_backend.instruments.scene_faults import check_target
from sim_backend.instruments.scene_sections import (
    NOT_THE_SCENE,
    faults_of,
    one_scene,
    parameters_of,
    seed_of,
)
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.instruments.switch import SWITCH_LIMITS
from sim_backend.instruments.waveform_generator import GENERATOR_LIMITS
from sim_backend.scene.detectors import PowerHeadSettings
from sim_backend.scene.reference_settings import ReferenceSettings, wavelength_at_offset_m

__all__ = ["BACKEND", "SCENE", "register_models", "scene_settings"]

SCENE = "reference"
"""The scene of this module; `models_amplifier` has the other."""


def register_models(
    registry: ModelRegistry,
    files: Sequence[BenchFile],
    *,
    seed: int | None = None,
    faults: FaultPlan | None = None,
) -> SimulatedBench:
    """Make the simulated models known, all on one new scene.

    Args:
        registry: with a `SimulatedClock`, which becomes the scene's.
        files: the bench files of one scene: the server's, the client's, or both.
        seed: of the scene and its instruments; None takes `scene.parameters.seed`, or 0.
        faults: what goes wrong; None takes `scene.parameters.faults`, or nothing.

    Returns:
        The simulated bench, with its `scene`, `clock` and `faults`.

    Raises:
        ConfigurationError: the registry's clock is not simulated, the files are of different
            scenes, or a scene or receiver that cannot be simulated.
    """
    clock = simulated_clock(registry)
    settings = scene_settings(files)
    bench = SimulatedBench(
        settings,
        seed=seed_of(files[0]) if seed is None else seed,
        clock=clock,
        faults=faults_of(files[0], check_target) if faults is None else faults,
    )
    register_all(registry, _models(bench))
    return bench


def scene_settings(files: Sequence[BenchFile]) -> ReferenceSettings:
    """The settings of the scene that the files describe.

    What the files say anyway is taken over: the receiver's setting is the scene's tap, the
    oscillators are own or shared, and stand one intermediate frequency below the light. The
    scene's parameters may say otherwise, as a real bench may.

    Raises:
        ConfigurationError: no file, no or different scenes, an unknown one, or parameters that it
            refuses.
    """
    first = one_scene(files, SCENE)
    own = {key: value for key, value in parameters_of(first).items() if key not in NOT_THE_SCENE}
    try:
        return changed(_described(first), own, "scene.parameters")
    except ConfigurationError as error:
        raise ConfigurationError(f"{first.where}: {error}") from error


def _described(file: BenchFile) -> ReferenceSettings:
    """Settings of the scene as far as the rest of a bench file tells them."""
    bench, frame = file.content.bench, file.content.frame
    below_hz = -frame.cycles_per_symbol * frame.symbol_rate_hz
    usual = ReferenceSettings()
    wavelength_m = wavelength_at_offset_m(below_hz)
    homodyne = bench.detection == "homodyne"
    # Light that is not shifted needs no shifter, and has not its loss.
    loss_db = {"loss_db": 0.0} if homodyne else {}
    return replace(
        usual,
        tap=bench.receiver_setting,
        oscillators=bench.oscillator,
        detection=bench.detection,
        client_oscillator_laser=replace(usual.client_oscillator_laser, wavelength_m=wavelength_m),
        server_oscillator_laser=replace(usual.server_oscillator_laser, wavelength_m=wavelength_m),
        client_shifter=replace(usual.client_shifter, shift_hz=below_hz, **loss_db),
        server_shifter=replace(usual.server_shifter, shift_hz=below_hz, **loss_db),
    )


def _models(bench: SimulatedBench) -> list[SimulatedModel]:
    alike: list[tuple[str, Any, InstrumentLimits, Callable[..., Instrument]]] = [
        ("simulated laser", Laser, LASER_LIMITS, bench.laser),
        (
            "simulated waveform generator",
            WaveformGenerator,
            GENERATOR_LIMITS,
            bench.waveform_generator,
        ),
        ("simulated digitiser", Digitiser, DIGITISER_LIMITS, bench.digitiser),
        ("simulated attenuator", Attenuator, ATTENUATOR_LIMITS, bench.attenuator),
        ("simulated switch", Switch, SWITCH_LIMITS, bench.switch),
        (
            "simulated polarisation controller",
            PolarisationController,
            POLARISATION_LIMITS,
            bench.polarisation_controller,
        ),
        ("simulated phase driver", PhaseDriver, OSCILLATOR_PHASE_LIMITS, bench.oscillator_phase),
    ]
    models = [
        SimulatedModel(name=name, kind=kind, limits=limits, bench=bench, make=plain(maker))
        for name, kind, limits, maker in alike
    ]
    models.append(
        SimulatedModel(
            name="simulated bias controller",
            kind=BiasController,
            limits=BIAS_LIMITS,
            bench=bench,
            make=with_settings(bench.bias_controller, BiasSettings()),
        )
    )
    models.append(
        SimulatedModel(
            name="simulated power meter",
            kind=PowerMeter,
            limits=POWER_METER_LIMITS,
            bench=bench,
            make=with_settings(bench.power_meter, PowerHeadSettings()),
        )
    )
    return models
