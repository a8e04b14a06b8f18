"""Which nodes are avoided."""

from ctkd_study.cluster.node_health import NodeHealth


def failing(health: NodeHealth, node: str, times: int = 3) -> None:
    for _ in range(times):
        health.failed(node)


def test_a_node_that_fails_three_times_in_a_row_is_avoided() -> None:
    health = NodeHealth(lambda: ["bad", "good"])
    failing(health, "bad", 2)
    assert health.avoided() == ()
    health.failed("bad")
    health.failed("good")
    assert health.avoided() == ("bad",)


def test_one_step_makes_a_node_good_again() -> None:
    health = NodeHealth(lambda: ["bad", "good"])
    failing(health, "bad", 2)
    health.worked("bad")
    failing(health, "bad", 2)
    assert health.avoided() == ()
    health.failed("bad")
    assert health.avoided() == ("bad",)
    health.worked("bad")
    assert health.avoided() == ()


def test_some_node_is_always_left() -> None:
    alive = ["a", "b"]
    health = NodeHealth(lambda: alive)
    for node in ("b", "a"):
        failing(health, node)
    assert health.avoided() == ()
    alive.append("c")
    assert health.avoided() == ("a", "b"), "in order"
    alive.remove("c")
    assert health.avoided() == (), "the good one has gone"


def test_no_nodes_are_asked_for_while_all_are_well() -> None:
    def alive() -> list[str]:
        raise AssertionError("this asks a server of Ray's")

    health = NodeHealth(alive)
    health.failed("a")
    assert health.avoided() == ()
