"""Two roles on one chain of Qontrol modules: they share the link, its trips and its resets."""

from dataclasses import replace

import numpy as np
import pytest

from drivers.errors import InstrumentError, ReadbackError
from drivers.instruments import PhaseDriverLimits
from drivers.modulators.qontrol_q8iv import MODELS, Q8ivSettings, QontrolQ8iv
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.twins.qontrol_q8iv import QontrolTwin
from tests.wire.rigs import loopback_link


class Chain:
    """Sixteen modules: outputs 1 to 64 for one mesh, 65 to 128 for the other."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.twin = QontrolTwin(clock=self.clock, modules=16)
        link = loopback_link(self.twin, self.clock, line=True, chatty=True, timeout_s=0.5)
        limits = MODELS[0].limits
        assert isinstance(limits, PhaseDriverLimits)
        self.first, self.second = (
            QontrolQ8iv(
                name,
                limits=replace(limits, channels=64),
                link=link,
                clock=self.clock,
                channel=channel,
                settings=Q8ivSettings(modules=16, outputs=64),
            )
            for name, channel in (("mesh_driver", 1), ("return_mesh_driver", 65))
        )
        self.first.open()
        self.second.open()
        self.first.set_voltages(np.full(64, 5.0))
        self.second.set_voltages(np.full(64, 7.0))


def test_roles_drive_their_own_outputs() -> None:
    chain = Chain()
    np.testing.assert_allclose(chain.twin.volts(), [5.0] * 64 + [7.0] * 64, atol=2e-4)
    chain.first.close()
    np.testing.assert_allclose(chain.twin.volts(), [0.0] * 64 + [7.0] * 64, atol=2e-4)
    np.testing.assert_allclose(chain.second.voltages(), 7.0, atol=2e-3)


def test_every_role_learns_that_the_chain_was_switched_off_and_on() -> None:
    chain = Chain()
    chain.twin.switch_off_and_on()
    for driver in (chain.first, chain.second):
        with pytest.raises(ReadbackError, match=f"{driver.name}: had forgotten voltages"):
            driver.voltages()
    assert not chain.first.voltages().any()
    assert not chain.second.voltages().any()


def test_trip_names_the_output_in_the_chain() -> None:
    chain = Chain()
    chain.twin.set_load(70, 100.0)
    with pytest.raises(InstrumentError, match=r"over-current at output 70 \(E02:70\)"):
        chain.second.voltages()


def test_long_chain_is_read_back_in_a_hurry() -> None:
    chain = Chain()
    chain.second.make_safe(0.04)
    np.testing.assert_allclose(chain.twin.volts(), [5.0] * 64 + [0.0] * 64, atol=2e-4)
