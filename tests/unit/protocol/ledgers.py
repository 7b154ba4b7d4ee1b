"""Ledgers of one layer of four rows, whose debits cost no bits: for tests of their files."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.ledger import ChargeRule, LightChannel, RowLight, WeightLedger
from protocol.ledger._database import connect
from protocol.ledger._store import Store

__all__ = [
    "CHANNEL",
    "PhotonCharge",
    "closed_ledger",
    "no_bits",
    "older_debit",
    "older_ledger",
    "photons",
    "spend",
]

CHANNEL = LightChannel(
    encoding="real", transmittance=0.5, excess_noise_x_snu=0.25, excess_noise_p_snu=0.125
)
"""How the light of these tests comes back."""


@dataclass(frozen=True)
class PhotonCharge:
    """A charge of photons alone, wherever they were received.

    Args:
        of_photons: bits of verified and unverified photons, each `(rows,)`.
        channel: how the light comes back.
        rule: whom the bits are charged for.
    """

    of_photons: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
    channel: LightChannel = CHANNEL
    rule: ChargeRule = "copies apart"

    def bits(self, light: RowLight) -> NDArray[np.float64]:
        """As the ledger asks for it."""
        return self.of_photons(light.verified, light.unverified)


no_bits = PhotonCharge(lambda verified, unverified: 0 * (verified + unverified))
"""A charge of nothing."""


def spend(ledger: WeightLedger, times: int = 1) -> list[int]:
    """Debits of an eighth of a photon on every row; their numbers."""
    return [ledger.debit("s", 0, 0, 4, 0.125, no_bits) for _ in range(times)]


def closed_ledger(folder: Path) -> Path:
    """A closed ledger of the model "model" with three debits: four entries."""
    path = folder / "weights.ledger"
    with WeightLedger.create(path, "model", {0: 4}, 1.0) as ledger:
        spend(ledger, 3)
    return path


def photons(path: Path) -> float:
    """What the first row's debits add up to."""
    with WeightLedger.open(path, "model") as ledger:
        return float(ledger.unverified_photons(0)[0])


def older_ledger(
    path: Path,
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    *,
    model_digest: str = "model",
    layers: Mapping[int, int],
    budget: float = 5.0,
) -> None:
    """Write a file of version 3, whose debits do not say how their light comes back.

    Args:
        path: new file.
        rows: kind and body of each entry after the creation, which is entry 1.
        model_digest: identity of the weights.
        layers: rows by layer.
        budget: bits per weight.
    """
    creation = {
        "purpose": "weights",
        "version": 3,
        "model_digest": model_digest,
        "layers": [list(layer) for layer in layers.items()],
        "budget_bits_per_weight": budget,
        "note": "",
    }
    store = Store.create(path, creation, lambda row: None, lambda: 1.5e9)
    for kind, body in rows:
        store.append(kind, body)
    store.close()
    connection = connect(f"{path.as_uri()}?mode=rw")
    connection.execute("PRAGMA user_version = 3")
    connection.close()


def older_debit(photons: float, *, layer: int = 0, rows: int = 2) -> tuple[str, Mapping[str, Any]]:
    """A debit of session "s" as version 3 wrote it, from the first row on.

    Args:
        photons: per weight.
        layer: index of the optical layer.
        rows: of the block.
    """
    body = {
        "session": "s",
        "layer": layer,
        "first_row": 0,
        "rows": rows,
        "photons": photons,
        "bits_per_weight": 0.5,
        "override": False,
    }
    return "debit", body
