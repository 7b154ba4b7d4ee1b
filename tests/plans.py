"""Plans of one layer, where a test cares for few of its numbers."""

from protocol.leakage.conventions import Encoding
from protocol.plan import LayerPlan

__all__ = ["layer_plan"]


def layer_plan(
    *,
    rows: int,
    modes: int,
    layer: int = 0,
    positions: int = 1,
    encoding: Encoding = "real",
    photons_per_symbol: float = 1.0,
) -> LayerPlan:
    """A layer that is one tile and has a scale of 1.

    Args:
        rows: of its matrix.
        modes: of a frame; a complex one holds two entries each.
        layer: its index.
        positions: of a convolution.
        encoding: of its entries.
        photons_per_symbol: at launch.
    """
    return LayerPlan(
        layer=layer,
        rows=rows,
        entries=2 * modes if encoding == "complex" else modes,
        positions=positions,
        encoding=encoding,
        photons_per_symbol=photons_per_symbol,
        scale_snu=1.0,
        tiles=(modes,),
    )
