"""How much light a model gets when nobody says: what it was trained for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError

if TYPE_CHECKING:
    from protocol.models.model import Model
    from veilight.config import Configuration

__all__ = ["with_photons"]


def with_photons(configuration: "Configuration", model: "Model") -> "Configuration":
    """The configuration with one photon number or F^2 per optical layer of the model.

    Raises:
        ConfigurationError: nothing is given and the model was trained without noise, or the
            numbers do not fit the layers.
    """
    from veilight.config import override

    protocol = configuration.protocol
    if not (protocol.photons_per_symbol or protocol.signal_to_noise):
        configuration = override(configuration, {"protocol.signal_to_noise": _trained_for(model)})
        protocol = configuration.protocol
    given = len(protocol.photons_per_symbol or protocol.signal_to_noise)
    layers = len(model.graph.optical)
    if given != layers:
        what = "photon numbers" if protocol.photons_per_symbol else "values of F^2"
        raise ConfigurationError(
            f"{given} {what} are given, the network has {layers} optical layers; give one per "
            "layer with --photons or --signal-to-noise"
        )
    return configuration


def _trained_for(model: "Model") -> tuple[float, ...]:
    stored = model.metadata.get("signal_to_noise")
    wanted = [str(index) for index in model.graph.optical]
    if not isinstance(stored, Mapping) or sorted(stored) != sorted(wanted):
        raise ConfigurationError(
            f"how much light? The model was trained without noise; give --photons or "
            f"--signal-to-noise with one number for each of its {len(wanted)} optical layers"
        )
    return tuple(stored[index] for index in wanted)
