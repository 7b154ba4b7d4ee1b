"""The way to the safe state when instruments are dead or slow: nobody holds up the others."""

from collections.abc import Iterator

import pytest

from drivers.bench import Bench
from drivers.bench.safe_state import HURRY_S, safe_order
from drivers.errors import LinkTimeoutError, SafetyError
from tests.unit.drivers.bench.paper_bench import Paper, paper_bench, server_table

DEAD_S = 2.0


@pytest.fixture
def paper() -> Paper:
    return Paper()


@pytest.fixture
def server(paper: Paper) -> Iterator[Bench]:
    with paper_bench(server_table(), paper) as bench:
        bench.safety.rearm("operator")
        yield bench


class Tried:
    """What is asked of the instruments of a bench, and when.

    Args:
        bench: open.
        dead: roles that do not answer.
    """

    def __init__(self, bench: Bench, *dead: str) -> None:
        self.calls: list[tuple[str, float | None, float]] = []
        self.clock = bench.clock
        self.begin_s = self.clock.now()
        self.dead = set(dead)
        for role, found in bench.instruments.items():
            made_safe = type(found).make_safe

            def tried(
                hurry_s: float | None = None, *, role: str = role, found: object = found
            ) -> None:
                self.calls.append((role, hurry_s, self.clock.now() - self.begin_s))
                if role in self.dead:
                    self.clock.sleep(DEAD_S if hurry_s is None else hurry_s)
                    raise LinkTimeoutError(f"{role}: no answer")
                made_safe(found, hurry_s)  # type: ignore[arg-type]  # noqa: B023

            vars(found)["make_safe"] = tried


def test_others_are_safe_in_time_when_the_first_one_is_dead(server: Bench) -> None:
    tried = Tried(server, "attenuator")
    with pytest.raises(SafetyError, match="1 instrument did not reach the safe state: attenuator"):
        server.make_safe()
    others = [at_s for role, _, at_s in tried.calls if role != "attenuator"]
    assert max(others) == pytest.approx(HURRY_S)
    tried.dead.clear()


def test_order_is_kept_in_each_turn_and_only_who_failed_is_tried_again(server: Bench) -> None:
    tried = Tried(server, "laser", "attenuator")
    order = safe_order(server.instruments, server.file.content.safety)
    with pytest.raises(SafetyError, match="2 instruments did not reach"):
        server.make_safe()
    turns = [(role, hurry_s) for role, hurry_s, _ in tried.calls]
    hurried = [(role, HURRY_S) for role in order]
    left = [(role, None) for role in order if role in tried.dead]
    assert turns == [*hurried, *left, *left]
    tried.dead.clear()


def test_bench_is_safe_when_the_one_that_was_left_answers_in_its_own_time(server: Bench) -> None:
    tried = Tried(server, "laser")
    attempt = vars(server.instruments["laser"])["make_safe"]

    def slow(hurry_s: float | None = None) -> None:
        tried.dead = {"laser"} if hurry_s is not None else set()
        attempt(hurry_s)

    vars(server.instruments["laser"])["make_safe"] = slow
    server.make_safe()
    assert server.safety.is_safe()


def test_instrument_of_a_bench_leaves_the_bench_time_when_it_fails(server: Bench) -> None:
    seen: list[float | None] = []
    laser = server.instruments["laser"]
    made_safe = type(laser).make_safe

    def noted(hurry_s: float | None = None) -> None:
        seen.append(hurry_s)
        made_safe(laser, hurry_s)

    vars(laser)["make_safe"] = noted
    vars(laser)["_set_power"] = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        server.safety.switch_on_laser("laser", 1e-3)
    assert seen == [HURRY_S, HURRY_S]
