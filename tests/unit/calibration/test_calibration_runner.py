from itertools import count
from pathlib import Path

import pytest

from calibration.routine import Registry
from calibration.runner import ProgressEvent, Runner, Status
from calibration.store import Store
from drivers.errors import ConfigurationError, InstrumentError, SafetyError
from tests.unit.calibration.calibration_values import FakeRoutine, World, failure


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "reference.h5", bench="reference")


@pytest.fixture
def registry(world: World) -> Registry:
    # Registered out of order: the needs alone decide.
    return Registry(
        [
            FakeRoutine("link", "shot_noise", "transfer", world=world),
            FakeRoutine("shot_noise", "power", world=world),
            FakeRoutine("transfer", "power", world=world),
            FakeRoutine("power", world=world),
            FakeRoutine("delay", world=world),
        ]
    )


ORDER = ["power", "shot_noise", "transfer", "link", "delay"]


def runner(registry: Registry, world: World, store: Store, seed: int | None = 7) -> Runner:
    return Runner(registry, world.bench(), store, seed=seed)


def test_run_follows_the_needs_when_nothing_was_measured(
    registry: Registry, world: World, store: Store
) -> None:
    outcomes = runner(registry, world, store).run()
    assert world.ran == ORDER
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 5
    ids = store.latest_ids()
    assert world.seen["link"] == {name: ids[name] for name in ("shot_noise", "transfer")}
    assert [outcome.result_id for outcome in outcomes] == [ids[name] for name in ORDER]
    found = store.get(ids["link"])
    assert dict(found.rests_on) == world.seen["link"]
    assert dict(found.identities) == {"laser": world.laser}
    assert found.temperature_window_c == (19.0, 23.0)
    assert found.seed == 7
    assert dict(found.settings) == {"points": 4, "span_v": 2.0}
    assert found.simulated
    assert world.made_safe == 5


def test_run_measures_nothing_when_all_is_fresh(
    registry: Registry, world: World, store: Store
) -> None:
    runner(registry, world, store).run()
    world.ran.clear()
    outcomes = runner(registry, world, store).run()
    assert world.ran == []
    assert {outcome.status for outcome in outcomes} == {Status.FRESH}
    assert len(store.entries()) == 5


def test_run_repeats_what_is_due_and_what_rests_on_it_when_one_need_is_renewed(
    registry: Registry, world: World, store: Store
) -> None:
    runner(registry, world, store).run()
    world.ran.clear()
    runner(registry, world, store).run(["shot_noise"], force=True)
    assert world.ran == ["shot_noise"]
    world.ran.clear()
    steps = {step.routine: step for step in runner(registry, world, store).plan()}
    assert [name for name, step in steps.items() if step.due] == ["link"]
    assert "rests on shot_noise" in steps["link"].reasons[0]
    runner(registry, world, store).run()
    assert world.ran == ["link"]


@pytest.mark.parametrize("change", ["age", "laser", "temperature", "settings"])
def test_plan_lists_all_when_the_bench_changed(
    registry: Registry, world: World, store: Store, change: str
) -> None:
    runner(registry, world, store).run()
    entries = len(store.entries())
    settings = {}
    if change == "age":
        world.time_s += 4000
    elif change == "laser":
        world.laser = "maker model 8 1.0"
    elif change == "temperature":
        world.temperature_c = 24.0
    else:
        settings = {name: {"points": 5} for name in registry.names}
    steps = Runner(registry, world.bench(), store, seed=7, settings=settings).plan()
    assert [step.routine for step in steps] == ORDER
    assert all(step.due and step.reasons for step in steps)
    assert sum(step.duration_s for step in steps) == 50.0
    assert len(store.entries()) == entries


def test_run_takes_only_what_is_needed_when_one_is_asked_for(
    registry: Registry, world: World, store: Store
) -> None:
    runner(registry, world, store).run(["transfer"])
    assert world.ran == ["power", "transfer"]


def test_run_goes_on_where_it_was_when_it_was_interrupted(
    registry: Registry, world: World, store: Store
) -> None:
    world.broken["transfer"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        runner(registry, world, store).run()
    assert world.made_safe == 3
    world.broken.clear()
    world.ran.clear()
    outcomes = runner(registry, world, store).run()
    assert world.ran == ["transfer", "link", "delay"]
    assert [outcome.status for outcome in outcomes][:2] == [Status.FRESH] * 2


def test_run_blocks_only_what_needs_it_when_a_routine_fails(
    registry: Registry, world: World, store: Store
) -> None:
    world.broken["transfer"] = failure()
    outcomes = {each.routine: each for each in runner(registry, world, store).run()}
    assert outcomes["transfer"].status is Status.FAILED
    assert "open the shutter" in outcomes["transfer"].message
    assert outcomes["link"].status is Status.BLOCKED
    assert "transfer" in outcomes["link"].message
    assert outcomes["delay"].status is Status.DONE
    assert world.ran == ["power", "shot_noise", "transfer", "delay"]
    assert set(store.latest_ids()) == {"power", "shot_noise", "delay"}
    assert world.made_safe == 4


@pytest.mark.parametrize("error", [SafetyError("pump is on"), InstrumentError("link is dead")])
def test_run_stops_at_once_when_the_bench_is_not_safe(
    registry: Registry, world: World, store: Store, error: Exception
) -> None:
    world.safe_error = error
    with pytest.raises(SafetyError, match=str(error)):
        runner(registry, world, store).run()
    assert world.ran == ["power"]
    assert store.entries() == ()


def test_run_fails_before_it_measures_when_a_role_is_missing(world: World, store: Store) -> None:
    routine = FakeRoutine("power", world=world)
    routine.roles = ("laser", "power_meter")  # type: ignore[misc]
    (outcome,) = runner(Registry([routine]), world, store).run()
    assert outcome.status is Status.FAILED
    assert "power_meter" in outcome.message
    assert world.ran == []


def test_run_repeats_its_numbers_when_the_seed_is_the_same_whatever_runs_before(
    registry: Registry, world: World, store: Store, tmp_path: Path
) -> None:
    runner(registry, world, store).run()
    other = Store(tmp_path / "other.h5", bench="reference")
    runner(registry, world, other).run(["delay"])
    values = [each.history("delay")[0]["v_pi_v"].value for each in (store, other)]
    assert values[0] == values[1]
    assert values[0] != store.history("power")[0]["v_pi_v"].value
    third = Store(tmp_path / "third.h5", bench="reference")
    runner(registry, world, third, seed=None).run(["delay"])
    assert third.history("delay")[0]["v_pi_v"].value != values[0]


def test_progress_counts_down_when_the_routines_run(
    registry: Registry, world: World, store: Store
) -> None:
    events: list[ProgressEvent] = []
    ticks = count()
    Runner(
        registry,
        world.bench(),
        store,
        seed=7,
        on_progress=events.append,
        wall=lambda: float(next(ticks)),
    ).run(["transfer"])
    assert [(each.routine, each.number, each.count) for each in events] == [
        *[("power", 1, 2)] * 5,
        *[("transfer", 2, 2)] * 5,
    ]
    # The first event has the estimates: 10 s less the 1 s that has passed, and 10 s of the next.
    assert events[0].remaining_s == 9.0 + 10.0
    # Then the pace: 3 s for 2 of 4 steps leave 3 s, and 10 s of the next.
    assert events[2].remaining_s == 3.0 + 10.0
    assert events[4].remaining_s == 10.0
    assert events[-1].remaining_s == 0.0
    assert events[-1].text == "sweeping"


def test_registry_refuses_when_needs_go_in_a_circle(world: World) -> None:
    registry = Registry([FakeRoutine("a", "b", world=world), FakeRoutine("b", "a", world=world)])
    with pytest.raises(ConfigurationError, match="a -> b -> a"):
        registry.ordered()


def test_registry_refuses_when_a_name_is_taken_or_unknown(world: World) -> None:
    registry = Registry([FakeRoutine("a", "c", world=world)])
    with pytest.raises(ConfigurationError, match="two routines are called a"):
        registry.register(FakeRoutine("a", world=world))
    with pytest.raises(ConfigurationError, match="no routine is called 'c'"):
        registry.ordered()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"power": {"pionts": 3}}, "power.pionts is unknown"),
        ({"power": {"points": 3.5}}, "give a int like 4"),
        ({"power": {"points": True}}, "give a int like 4"),
        ({"powr": {}}, "no routine is called 'powr'"),
    ],
    ids=["unknown", "type", "truth", "routine"],
)
def test_runner_refuses_when_a_setting_is_wrong(
    registry: Registry,
    world: World,
    store: Store,
    settings: dict[str, dict[str, bool | int | float | str]],
    message: str,
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Runner(registry, world.bench(), store, settings=settings)


def test_context_gives_instruments_of_the_kind_when_declared(
    registry: Registry, world: World, store: Store
) -> None:
    context = Runner(registry, world.bench({"laser": 1.5, "meter": 2.5}), store)._context(
        registry.get("power"), [], 0, 0.0
    )
    assert context.instrument("laser", float) == 1.5
    with pytest.raises(ConfigurationError, match="without declaring it"):
        context.instrument("meter", float)
    with pytest.raises(ConfigurationError, match="has a float"):
        context.instrument("laser", str)
    with pytest.raises(ConfigurationError, match="as float without declaring it so"):
        context.setting("points", float)
