"""The simulated models of the bench with an amplifier: backend `sim`, one per instrument kind.

Both files share one scene; its settings are their [scene] section. The numbers of channels follow
from the meshes' ports.
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
    OpticalAmplifier,
    PhaseDriver,
    PowerMeter,
    WaveformGenerator,
)
from drivers.settings_tables import changed
from sim_backend.instruments.attenuator import ATTENUATOR_LIMITS
from sim_backend.instruments.bias_controller import BiasSettings
from sim_backend.instruments.digitiser import DIGITISER_LIMITS
from sim_backend.instruments.faults import FaultPlan
from sim_backend.instruments.laser import LASER_LIMITS
from sim_backend.instruments.model_makers import (
    SimulatedModel,
    plain,
    register_all,
    simulated_clock,
    with_settings,
)
from sim_backend.instruments.power_meter import POWER_METER_LIMITS
from sim_backend.instruments.scene_sections import (
    NOT_THE_SCENE,
    faults_of,
    one_scene,
    parameters_of,
    seed_of,
)
from sim_backend.instruments.simulated_amplifier_bench import (
    SimulatedAmplifierBench,
    check_fault_of_instrument,
)
from sim_backend.scene.amplifier_bench import AmplifierBenchSettings
from sim_backend.scene.detectors import PowerHeadSettings
from sim_backend.scene.reference_settings import wavelength_at_offset_m

__all__ = ["AMPLIFIER_SCENE", "amplifier_scene_settings", "register_amplifier_models"]

AMPLIFIER_SCENE = "amplifier"


def register_amplifier_models(
    registry: ModelRegistry,
    files: Sequence[BenchFile],
    *,
    seed: int | None = None,
    faults: FaultPlan | None = None,
) -> SimulatedAmplifierBench:
    """Make the simulated models known, all on one new scene.

    Args:
        registry: with a `SimulatedClock`, which becomes the scene's.
        files: the bench files of one scene: the server's, the client's, or both.
        seed: of the scene and its instruments; None takes `scene.parameters.seed`, or 0.
        faults: what goes wrong, of instruments alone; None takes `scene.parameters.faults`.

    Raises:
        ConfigurationError: the registry's clock is not simulated, the files are of different
            scenes, or a setting that the scene refuses.
    """
    clock = simulated_clock(registry)
    settings = amplifier_scene_settings(files)
    bench = SimulatedAmplifierBench(
        settings,
        seed=seed_of(files[0]) if seed is None else seed,
        clock=clock,
        faults=faults_of(files[0], check_fault_of_instrument) if faults is None else faults,
    )
    register_all(registry, _models(bench))
    return bench


def amplifier_scene_settings(files: Sequence[BenchFile]) -> AmplifierBenchSettings:
    """The settings of the scene that the files describe.

    The receiver's setting, a gain G, makes the tap 1 - 1/G; the oscillators stand one intermediate
    frequency below the light. The scene's parameters may say otherwise, as a real bench may.

    Raises:
        ConfigurationError: no file, no or different scenes, shared oscillators, a gain that is not
            above 1, or parameters that the scene refuses.
    """
    first = one_scene(files, AMPLIFIER_SCENE)
    bench, frame = first.content.bench, first.content.frame
    if bench.oscillator != "own":
        raise ConfigurationError(
            f"{first.where}: bench.oscillator is {bench.oscillator!r}; on the scene "
            f"{AMPLIFIER_SCENE!r} both parties have their 'own'"
        )
    if not bench.receiver_setting > 1:
        raise ConfigurationError(
            f"{first.where}: bench.receiver_setting is {bench.receiver_setting:g}; an amplifier's "
            "power gain must be above 1"
        )
    usual = AmplifierBenchSettings()
    below_m = wavelength_at_offset_m(-frame.cycles_per_symbol * frame.symbol_rate_hz)
    described = replace(
        usual,
        tap=1 - 1 / bench.receiver_setting,
        client_oscillator_laser=replace(usual.client_oscillator_laser, wavelength_m=below_m),
        server_oscillator_laser=replace(usual.server_oscillator_laser, wavelength_m=below_m),
    )
    own = {key: value for key, value in parameters_of(first).items() if key not in NOT_THE_SCENE}
    try:
        return changed(described, own, "scene.parameters")
    except ConfigurationError as error:
        raise ConfigurationError(f"{first.where}: {error}") from error


def _models(bench: SimulatedAmplifierBench) -> list[SimulatedModel]:
    def only(make: Callable[..., Instrument]) -> Callable[..., Instrument]:
        """A maker for a kind that fills one role of the bench."""
        return lambda party, role, **given: make(**given)  # noqa: ARG005 - there is one place

    def mesh(party: str, role: str, **given: Any) -> Instrument:  # noqa: ARG001 - the client's
        return bench.mesh_driver(role, **given)

    alike: list[tuple[str, Any, InstrumentLimits, Callable[..., Instrument]]] = [
        ("laser", Laser, LASER_LIMITS, bench.laser),
        (
            "array generator",
            WaveformGenerator,
            bench.generator_limits,
            only(bench.weight_generator),
        ),
        ("digitiser", Digitiser, DIGITISER_LIMITS, only(bench.tap_digitiser)),
        (
            "array digitiser",
            Digitiser,
            bench.return_digitiser_limits,
            only(bench.return_digitiser),
        ),
        ("attenuator", Attenuator, ATTENUATOR_LIMITS, only(bench.attenuator)),
        ("phase driver", PhaseDriver, bench.mesh_limits, mesh),
        (
            "optical amplifier",
            OpticalAmplifier,
            bench.amplifier_limits,
            only(bench.optical_amplifier),
        ),
    ]
    makers = [(*one[:3], plain(one[3])) for one in alike]
    bias = with_settings(only(bench.weight_bias), BiasSettings())
    meter = with_settings(only(bench.launch_power_meter), PowerHeadSettings())
    makers.append(("array bias controller", BiasController, bench.bias_limits, bias))
    makers.append(("power meter", PowerMeter, POWER_METER_LIMITS, meter))
    return [
        SimulatedModel(name=f"simulated {name}", kind=kind, limits=limits, bench=bench, make=make)
        for name, kind, limits, make in makers
    ]
