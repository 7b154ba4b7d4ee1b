"""What a server can do against accumulation without changing its network's function.

K queries that send the same weights tell as much as one of K times the photons. Here the weights
are sent in a new disguise for every block of samples: hidden units in another order, at other
scales, among dummies, with other photon numbers. Nothing of it is credited in bits: given the
disguises, the adversary has K copies again, so the figures without defences stay upper bounds and
no smaller ones are proven (docs/defences.md).
"""

from protocol.defences.hidden_units import HiddenUnits, hidden_units
from protocol.defences.light import DisguiseRecord, WeightLight
from protocol.defences.network import DisguisedNetwork, SentWeights, disguise_network
from protocol.defences.randomness import (
    OperatingSystemNumbers,
    RandomNumbers,
    SeededNumbers,
    numbers_like,
)
from protocol.defences.settings import LARGEST_FACTOR, Defences

__all__ = [
    "LARGEST_FACTOR",
    "Defences",
    "DisguiseRecord",
    "DisguisedNetwork",
    "HiddenUnits",
    "OperatingSystemNumbers",
    "RandomNumbers",
    "SeededNumbers",
    "SentWeights",
    "WeightLight",
    "disguise_network",
    "hidden_units",
    "numbers_like",
]
