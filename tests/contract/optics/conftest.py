"""Every pair of optics in turn."""

import pytest

from tests.contract.optics.pairs import PAIRS, Pair


@pytest.fixture(params=list(PAIRS))
def pair(request: pytest.FixtureRequest) -> Pair:
    return PAIRS[request.param]()
