"""What a running homodyne bench says about itself, and what it keeps to itself."""

from types import SimpleNamespace
from typing import cast

import pytest
import torch

from drivers.backend import Block
from drivers.bench.sections import SafetySection
from drivers.optics.homodyne_link import HomodyneLink
from protocol.randomness import SeededBits
from tests.homodyne_bench import open_homodyne_bench
from veilight.bench_session import BenchPair
from veilight.homodyne_runs import homodyne_readings
from veilight.runs import _random_bits

BLOCK = Block(run=0, layer=0, tile=0, first_input=0, inputs=4, first_row=0, rows=8, modes=16)


def dark_bench() -> SimpleNamespace:
    content = SimpleNamespace(safety=SafetySection())
    return SimpleNamespace(instruments={}, file=SimpleNamespace(content=content))


PAIR = cast(BenchPair, SimpleNamespace(server=dark_bench(), client=dark_bench()))


@pytest.fixture(scope="module")
def link() -> HomodyneLink:
    """A link after one block."""
    link = open_homodyne_bench(modes_per_frame=16, calibration_samples=1 << 20).link
    assert homodyne_readings(link, PAIR) == ()
    link.client.load(BLOCK, torch.full((4, 16), 0.25))
    link.server.send(BLOCK, torch.full((1, 8, 16), 2.0))
    link.client.measure(BLOCK)
    link.server.collect_full(BLOCK, link.random_bits.flips("", 4, 8))
    return link


@pytest.mark.parametrize("party", ["server", "client"])
def test_readings_of_a_sound_bench_are_within_their_limits(link: HomodyneLink, party: str) -> None:
    found = {one.name: one for one in homodyne_readings(link, PAIR) if one.party == party}
    assert set(found) == {
        "shot noise / calibrated",
        "clearance",
        "phase error of the probes",
        "pilots",
    }
    assert all(one.within for one in found.values())
    assert 0 < found["phase error of the probes"].value < 0.1
    assert found["clearance"].value > 15
    # 2000 photons at launch: 2 sqrt(photons) times the gain.
    assert 30 < found["pilots"].value < 60


def test_readings_do_not_tell_the_quadratures(link: HomodyneLink) -> None:
    names = " ".join(one.name for one in homodyne_readings(link, PAIR))
    assert "P" not in names
    assert "excess" not in names


def test_engine_takes_its_flips_from_a_link_that_chooses_early(link: HomodyneLink) -> None:
    assert _random_bits(link, 7) is link.random_bits
    other = cast(HomodyneLink, SimpleNamespace(server=None, client=None, settings=None))
    assert isinstance(_random_bits(other, 7), SeededBits)
    assert _random_bits(other, None) is None
