"""Paper instruments that pass for real ones: another backend, no scene, lock files of their own."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.bench import Bench, parse_bench
from drivers.bench.ownership import Ownership
from drivers.bench.watchdog import Watchdog
from tests.unit.drivers.bench.paper_bench import Paper, paper_registry


def real_table(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a bench file whose instruments are no simulations."""
    made = copy.deepcopy(dict(table))
    del made["scene"]
    for role, entry in made["instruments"].items():
        entry |= {"backend": "visa", "address": f"GPIB0::{role}"}
    return made


def real_bench(
    table: Mapping[str, Any], paper: Paper, folder: Path, watchdog: Watchdog | None = None
) -> Bench:
    """A closed bench of such instruments; lock files are in `folder`."""
    registry = paper_registry(paper, backend="visa")
    file = parse_bench(real_table(table), "bench file paper.toml")
    return Bench.build(file, registry, ownership=Ownership(folder), watchdog=watchdog)
