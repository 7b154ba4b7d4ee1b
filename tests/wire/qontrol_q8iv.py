"""The Qontrol Q8iv phase driver on its twin, with frames and with lines of text."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from drivers.instruments import Instrument, PhaseDriverLimits
from drivers.modulators.qontrol_q8iv import MODELS, Q8ivSettings, QontrolQ8iv
from sim_backend.instruments.parts import PhasePart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.mesh import Mesh, MeshSettings
from sim_backend.wire.twins.qontrol_q8iv import QontrolTwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _driver(binary: bool) -> Instrument:
    """A mesh of three ports, whose nine shifters are driven from output 3 on."""
    clock = SimulatedClock()
    mesh = PhasePart(Mesh(MeshSettings(ports=3), rng=np.random.default_rng(1)))
    twin = QontrolTwin(clock=clock, parts={3: mesh}, modules=2)
    limits = MODELS[0].limits
    assert isinstance(limits, PhaseDriverLimits)
    return QontrolQ8iv(
        "mesh",
        limits=replace(limits, channels=mesh.channels),
        link=loopback_link(twin, clock, line=True, chatty=True),
        clock=clock,
        channel=3,
        settings=Q8ivSettings(modules=2, binary=binary),
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {
        "qontrol Q8iv": partial(_driver, True),
        "qontrol Q8iv in text": partial(_driver, False),
    }
