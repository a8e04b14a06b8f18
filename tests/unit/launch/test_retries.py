"""When an interrupted trial is tried again."""

from ctkd_study.launch import RetryPolicy


def test_pauses_double_up_to_the_longest() -> None:
    policy = RetryPolicy()
    assert [policy.pause(count) for count in range(1, 12)] == [1, 2, 4, 8, 16, 32, 60, 60, 60, None, None]


def test_the_numbers_are_the_policy_s() -> None:
    policy = RetryPolicy(tries=4, first_pause=0.25, longest_pause=0.6)
    assert [policy.pause(count) for count in (1, 2, 3, 4)] == [0.25, 0.5, 0.6, None]
    assert RetryPolicy(tries=1).pause(1) is None
