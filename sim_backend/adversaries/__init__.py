"""What dishonest parties do to the light, each as a plug-in on the symbol tier.

`ReturnBehaviour` is what a `SymbolLink` takes: a client's Gaussian channel on every returned mode.
An `Adversary` is wider: it changes the law of the tests' sums, on either party's side, and says
what it gains. `draw_blocks` draws those sums for many blocks at once.
"""

from sim_backend.adversaries.return_behaviour import (
    HONEST,
    ReturnBehaviour,
    intercepts_and_resends,
    keeps_fraction,
    measures_only_x,
    returns_nothing,
    taps_and_amplifies,
)

__all__ = [
    "HONEST",
    "ReturnBehaviour",
    "intercepts_and_resends",
    "keeps_fraction",
    "measures_only_x",
    "returns_nothing",
    "taps_and_amplifies",
]
