"""All twins, by the name of the driver's model that talks to them."""

from collections.abc import Callable
from importlib import import_module

from drivers.errors import ConfigurationError
from sim_backend.wire.session import Twin, TwinPlace

__all__ = ["MODULES", "make_twin", "twin_makers"]

MODULES: tuple[str, ...] = (
    "sim_backend.wire.twins.agiltron_ff",
    "sim_backend.wire.twins.amonics_aedfa",
    "sim_backend.wire.twins.id_photonics_cobrite",
    "sim_backend.wire.twins.keysight_33600a",
    "sim_backend.wire.twins.keysight_8164b",
    "sim_backend.wire.twins.keysight_infiniium",
    "sim_backend.wire.twins.keysight_infiniivision",
    "sim_backend.wire.twins.keysight_m8195a",
    "sim_backend.wire.twins.keysight_n771x",
    "sim_backend.wire.twins.keysight_n773x",
    "sim_backend.wire.twins.keysight_n7744a",
    "sim_backend.wire.twins.keysight_n776x",
    "sim_backend.wire.twins.koheron_ctl200",
    "sim_backend.wire.twins.nkt_koheras_basik",
    "sim_backend.wire.twins.ozoptics_dd100",
    "sim_backend.wire.twins.ozoptics_epc",
    "sim_backend.wire.twins.pure_photonics_ppcl550",
    "sim_backend.wire.twins.qontrol_q8iv",
    "sim_backend.wire.twins.red_pitaya",
    "sim_backend.wire.twins.rohde_schwarz_rto",
    "sim_backend.wire.twins.santec_tsl",
    "sim_backend.wire.twins.tektronix_mso56",
    "sim_backend.wire.twins.thorlabs_mbx",
    "sim_backend.wire.twins.thorlabs_mpc320",
    "sim_backend.wire.twins.thorlabs_osw_e",
    "sim_backend.wire.twins.thorlabs_pm100",
)
"""Modules of twins; one for each module of drivers."""


def twin_makers() -> dict[str, Callable[[TwinPlace], Twin]]:
    """What makes the twin of each model."""
    makers: dict[str, Callable[[TwinPlace], Twin]] = {}
    for module in MODULES:
        makers |= import_module(module).MAKERS
    return makers


def make_twin(model: str, place: TwinPlace) -> Twin:
    """The twin of a model.

    Args:
        model: as in bench files.
        place: what it is made from.

    Raises:
        ConfigurationError: there is no twin for it.
    """
    maker = twin_makers().get(model)
    if maker is None:
        raise ConfigurationError(f"there is no twin of model {model!r}; use its simulated kind")
    return maker(place)
