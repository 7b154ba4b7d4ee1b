"""The sums of all sessions' tests between a ledger and a record: read, and held against it."""

from collections.abc import Iterable, Mapping

from drivers.errors import DataError
from protocol.certificates.pooled import PooledLight
from protocol.certificates.record import SessionRecord, read_test_settings
from protocol.certificates.signing import Mismatch
from protocol.leakage.conventions import Encoding
from protocol.ledger import PooledTests

__all__ = ["pool_mismatches", "pooled_lights"]


def pooled_lights(tested: Iterable[PooledTests], encoding: Encoding) -> tuple[PooledLight, ...]:
    """What a certificate can use of a layer's sums; all other light counts as kept.

    Args:
        tested: as the ledger has it, by settings.
        encoding: of the session.
    """
    lights = []
    for one in tested:
        try:
            light = PooledLight.of(one, read_test_settings(one.settings))
        except DataError:
            continue  # settings of another version
        if light is not None and light.settings.encoding == encoding:
            lights.append(light)
    return tuple(lights)


def pool_mismatches(
    record: SessionRecord, tested: Mapping[int, tuple[PooledTests, ...]]
) -> tuple[Mismatch, ...]:
    """Where a record has other sums of all sessions than the ledger; empty if nowhere.

    Args:
        record: of the server's session.
        tested: what the ledger had by the entry that the record names, by layer.
    """
    encodings = {layer.layer: layer.encoding for layer in record.thresholds.layers}
    names = {layer.layer: layer.name for layer in record.thresholds.layers}
    return tuple(
        Mismatch(
            what="tests of all sessions",
            reason=f"{names[layer.layer]}: the run has other sums than the ledger",
        )
        for layer in record.layers
        # Records of earlier versions have none, and use none.
        if layer.pooled
        and layer.pooled != pooled_lights(tested.get(layer.layer, ()), encodings[layer.layer])
    )
