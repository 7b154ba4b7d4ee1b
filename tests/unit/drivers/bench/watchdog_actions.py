"""What watchdogs of the tests do instead of making instruments safe: they leave a mark."""

import json
from collections.abc import Sequence
from pathlib import Path

from drivers.bench.ownership import Ownership

ADDRESS = "GPIB0::laser"
"""Claimed by `mark`, so that it fails while the program that is watched owns the instrument."""


def mark(files: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Claim an instrument as the real action does, then write a file where the first one is."""
    where, text = files[0]
    with Ownership(Path(where).parent / "locks", wait_s=2.0).claim(
        ADDRESS, role="laser", bench="watchdog"
    ):
        Path(where).write_text(json.dumps({"text": text}), encoding="utf-8")
    return {}


def fail(files: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Nothing can be made safe."""
    return {"laser": f"no answer to {len(files)} benches"}
