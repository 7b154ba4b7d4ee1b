from pathlib import Path

import pytest

from calibration.checks import Conditions, require
from calibration.moment import Moment
from calibration.store import Store
from drivers.errors import CalibrationError
from tests.unit.calibration.calibration_values import moment, result

LASER = {"laser": "maker model 7 1.0", "digitiser": "maker d 1 1"}


def conditions(
    *,
    now: Moment | None = None,
    identities: dict[str, str] | None = None,
    temperature_c: float | None = 21.0,
    simulated: bool = True,
) -> Conditions:
    return Conditions(
        now=now or moment(3600.0),
        identities=LASER if identities is None else identities,
        temperature_c=temperature_c,
        simulated=simulated,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "reference.h5", bench="reference")
    store.append(result())
    return store


def test_require_gives_the_newest_result_without_taint_when_all_is_right(store: Store) -> None:
    newer = result(value=4.1)
    store.append(newer)
    usable = require(store, "transfer", conditions(), version=1)
    assert usable.taints == ()
    assert usable.result.id == newer.id
    assert usable["v_pi_v"].value == 4.1


REFUSALS = {
    "stale": (conditions(now=moment(3601.0)), "stale: 3601 s old, it holds for 3600 s"),
    "wall-clock-set-back": (conditions(now=moment(-5.0)), "set the clock right"),
    "wall-clock-slowed": (
        conditions(now=moment(10.0, clock_s=4000.0)),
        "stale: 4000 s old",
    ),
    "other-serial": (
        conditions(identities={"laser": "maker model 8 1.0"}),
        "laser 'maker model 7 1.0', the bench has 'maker model 8 1.0'",
    ),
    "no-instrument": (conditions(identities={}), "the bench has no laser"),
    "too-warm": (conditions(temperature_c=23.1), "the bench is at 23.1 C"),
    "too-cold": (conditions(temperature_c=18.9), "the bench is at 18.9 C"),
    "no-number": (conditions(temperature_c=float("nan")), "the bench is at nan C"),
    "no-thermometer": (conditions(temperature_c=None), "temperature is not known"),
    "simulated": (conditions(simulated=False), "made with simulated light, the bench is real"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_require_refuses_when(store: Store, name: str) -> None:
    where, message = REFUSALS[name]
    with pytest.raises(CalibrationError, match="veilight calibrate transfer") as caught:
        require(store, "transfer", where, version=1)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", REFUSALS)
def test_require_taints_when_overridden(store: Store, name: str) -> None:
    where, message = REFUSALS[name]
    usable = require(store, "transfer", where, version=1, override=True)
    assert len(usable.taints) == 1
    assert message in usable.taints[0]
    assert usable.result.id[:12] in usable.taints[0]


def test_require_lists_all_reasons_when_there_are_several(store: Store) -> None:
    where = conditions(now=moment(1e6), temperature_c=30.0, simulated=False)
    assert len(require(store, "transfer", where, version=2, override=True).taints) == 4


def test_require_refuses_when_the_clock_started_anew_and_the_wall_says_old(store: Store) -> None:
    where = conditions(now=moment(7200.0, clock_s=1.0, clock_id="later boot"))
    with pytest.raises(CalibrationError, match="7200 s old"):
        require(store, "transfer", where, version=1)


def test_require_accepts_when_the_clock_started_anew_and_the_wall_says_young(store: Store) -> None:
    where = conditions(now=moment(60.0, clock_s=1e6, clock_id="later boot"))
    assert require(store, "transfer", where, version=1).taints == ()


@pytest.mark.parametrize("override", [False, True])
def test_require_refuses_when_there_is_no_result(store: Store, override: bool) -> None:
    with pytest.raises(CalibrationError, match="no calibration power"):
        require(store, "power", conditions(), version=1, override=override)


def test_require_refuses_when_what_it_rests_on_was_measured_anew(store: Store) -> None:
    first = result("power", value=1.0)
    store.append(first)
    store.append(result(rests_on={"power": first.id}))
    assert require(store, "transfer", conditions(), version=1).taints == ()
    store.append(result("power", value=1.1))
    with pytest.raises(CalibrationError, match=r"rests on power .* measured anew"):
        require(store, "transfer", conditions(), version=1)


def test_require_ignores_temperature_when_the_result_has_no_window(store: Store) -> None:
    store.append(result(window=None))
    where = conditions(temperature_c=None)
    assert require(store, "transfer", where, version=1).taints == ()


def test_require_refuses_by_name_when_a_setting_is_another_now(store: Store) -> None:
    made = result().settings
    assert require(store, "transfer", conditions(), version=1, settings=made).taints == ()
    changed = {**made, "points": 62, "new": 1.5}
    del changed["note"]
    usable = require(store, "transfer", conditions(), version=1, settings=changed, override=True)
    assert [taint.partition(": ")[2] for taint in usable.taints] == [
        "made with new unset, it is 1.5 now",
        "made with note µ, it is unset now",
        "made with points 61, it is 62 now",
    ]
    with pytest.raises(CalibrationError, match="made with points 61, it is 62 now"):
        require(store, "transfer", conditions(), version=1, settings={**made, "points": 62})
