import random

from edgedl.stream.backoff import Backoff


def new_backoff(seed: int = 1) -> Backoff:
    return Backoff(random=random.Random(seed))


def test_limits_double_up_to_the_cap() -> None:
    backoff = new_backoff()
    limits = []
    for _ in range(9):
        limits.append(backoff.limit_s())
        backoff.delay_s(lived_s=0.0)
    assert limits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_jitter_is_full() -> None:
    delays = []
    for seed in range(300):
        backoff = new_backoff(seed)
        for _ in range(6):
            backoff.delay_s(lived_s=0.0)
        delays.append(backoff.delay_s(lived_s=0.0))
    assert min(delays) < 3
    assert max(delays) > 27
    assert all(0.1 <= delay <= 30 for delay in delays)


def test_only_a_connection_that_stayed_up_resets_it() -> None:
    backoff = new_backoff()
    for _ in range(5):
        backoff.delay_s(lived_s=9.9)
    assert backoff.limit_s() == 16
    backoff.delay_s(lived_s=10.0)
    assert backoff.limit_s() == 1


def test_a_refused_login_waits_longer() -> None:
    assert new_backoff().delay_s(lived_s=0.0, at_least_s=30.0) >= 30


def test_thousands_of_failures_do_not_overflow() -> None:
    backoff = new_backoff()
    for _ in range(3000):
        backoff.delay_s(lived_s=0.0)
    assert backoff.limit_s() == 30
