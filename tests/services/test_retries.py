import pytest

from tasks.services.retries import LONGEST_WAIT, MAX_THROTTLED_TRIES, MAX_TRIES, Fault, RetryPolicy

BROKEN = Fault("a lost connection", is_transient=True)
THROTTLED = Fault("too many", is_transient=True, status=429)
REFUSED = Fault("a bad request", is_transient=False, status=400)


def wait_after(*faults, policy=None, jitter=1.0):
    return (policy or RetryPolicy()).wait_after(list(faults), initial_backoff=1.0, jitter=jitter)


def test_each_wait_is_twice_the_last_up_to_the_longest():
    policy = RetryPolicy(max_tries=10)
    assert [wait_after(*[BROKEN] * n, policy=policy) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, LONGEST_WAIT, 60]
    assert wait_after(BROKEN, BROKEN, jitter=0.75) == 1.5


def test_the_services_own_word_goes_before_the_doubling_unless_it_is_nothing():
    def after(seconds):
        return wait_after(BROKEN, Fault("busy", is_transient=True, status=503, retry_after=seconds))

    assert (after(7.5), after(999.0), after(0.0)) == (7.5, LONGEST_WAIT, 2.0)


def test_a_call_is_given_up_after_its_last_try_and_at_once_where_no_other_would_help():
    assert wait_after(*[BROKEN] * (MAX_TRIES - 1)) is not None
    assert wait_after(*[BROKEN] * MAX_TRIES) is None
    assert wait_after(REFUSED) is None


def test_tries_that_were_throttled_are_counted_apart():
    assert wait_after(*[THROTTLED] * (MAX_THROTTLED_TRIES - 1), BROKEN) == LONGEST_WAIT
    assert wait_after(*[THROTTLED] * MAX_THROTTLED_TRIES) is None
    assert wait_after(THROTTLED, *[BROKEN] * MAX_TRIES) is None


@pytest.mark.parametrize(
    ("status", "is_transient", "is_throttled", "shows_service_up", "is_busy"),
    [
        (429, True, True, True, True),
        (529, True, True, False, True),
        (500, True, False, False, True),
        (400, False, False, True, False),
        (None, True, False, False, False),
    ],
)
def test_a_fault_says_whether_the_service_is_there(status, is_transient, is_throttled, shows_service_up, is_busy):
    fault = Fault("words", is_transient, status)
    assert (fault.is_throttled, fault.shows_service_up, fault.is_busy) == (is_throttled, shows_service_up, is_busy)
