"""How the testnet's benchmark finds the peak."""

from tests.bench.bench_testnet import RATE_GOAL, RATE_MAX, next_rate


def test_the_load_doubles_until_the_nodes_fall_behind() -> None:
    assert next_rate(RATE_GOAL, 1_992.0) == 2 * RATE_GOAL
    assert next_rate(2 * RATE_GOAL, 3_648.0) is None
    assert next_rate(2 * RATE_GOAL, 3_900.0) == 4 * RATE_GOAL
    assert next_rate(RATE_MAX, float(RATE_MAX)) is None, "a bounded time"
