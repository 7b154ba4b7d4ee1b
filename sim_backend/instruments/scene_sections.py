"""The [scene] sections of bench files that share a scene: which one, its seed, its faults."""

from collections.abc import Callable, Mapping, Sequence

from drivers.bench.files import BenchFile
from drivers.errors import ConfigurationError
from sim_backend.instruments.faults import Fault, FaultPlan

__all__ = ["NOT_THE_SCENE", "SCENES", "faults_of", "one_scene", "parameters_of", "seed_of"]

SCENES = {"reference": "passive-tap", "amplifier": "amplifier"}
"""The scenes that there are, and the receiver of each."""
NOT_THE_SCENE = ("seed", "faults")
"""Parameters that are not settings of a component."""


def one_scene(files: Sequence[BenchFile], name: str) -> BenchFile:
    """The first of files that all say the same of one scene.

    Args:
        files: the server's, the client's, or both.
        name: one of `SCENES`.

    Raises:
        ConfigurationError: no file, no or different scenes, another one, or another receiver.
    """
    if not files:
        raise ConfigurationError("a simulated bench needs at least one bench file")
    first = files[0]
    for file in files:
        scene, receiver = file.content.scene, file.content.bench.receiver
        if scene is None:
            raise ConfigurationError(f"{file.where}: scene is missing; write [scene]")
        if scene != first.content.scene:
            raise ConfigurationError(
                f"{file.where}: scene is not that of {first.where}; both parties share the light, "
                "write the same [scene] in both files"
            )
        if scene.name not in SCENES:
            raise ConfigurationError(
                f"{file.where}: scene.name is {scene.name!r}; the scenes are "
                f"{' and '.join(map(repr, SCENES))}"
            )
        if scene.name != name or receiver != SCENES[name]:
            raise ConfigurationError(
                f"{file.where}: bench.receiver is {receiver!r}; the scene {scene.name!r} has a "
                f"{SCENES[scene.name]!r}"
            )
    return first


def parameters_of(file: BenchFile) -> Mapping[str, object]:
    """Parameters of a file's scene; empty without one."""
    scene = file.content.scene
    return {} if scene is None else scene.parameters


def seed_of(file: BenchFile) -> int:
    """Seed of the scene, 0 where the file gives none.

    Raises:
        ConfigurationError: it is no whole number from 0.
    """
    seed = parameters_of(file).get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigurationError(
            f"{file.where}: scene.parameters.seed is {seed!r}; it must be a whole number from 0"
        )
    return seed


def faults_of(file: BenchFile, check: Callable[[Fault], None]) -> FaultPlan:
    """What is to go wrong in the scene.

    Args:
        file: a bench file.
        check: refuses a fault that the scene cannot have.

    Raises:
        ConfigurationError: no array of tables, or a fault that is refused.
    """
    faults = parameters_of(file).get("faults", [])
    if not isinstance(faults, list) or not all(isinstance(one, Mapping) for one in faults):
        raise ConfigurationError(
            f"{file.where}: scene.parameters.faults must be an array of tables, one per fault"
        )
    try:
        plan = FaultPlan.from_data(faults)
        for fault in plan.faults:
            check(fault)
        return plan
    except ConfigurationError as error:
        raise ConfigurationError(f"{file.where}: scene.parameters.faults: {error}") from error
