"""How long a namespace was not seen: from good looks, and from when somebody wanted to see it."""

from controller.seeing import Seeing


def test_an_idle_controller_is_not_blind() -> None:
    """Without open batches nothing is looked at, and nothing is too old."""
    seeing = Seeing()
    assert seeing.age({}, 1000) == 0
    seeing.want({"lab"}, 10)
    seeing.want((), 20)
    assert seeing.age({"lab": 15}, 1000) == 0


def test_a_namespace_counts_from_its_first_batch() -> None:
    """The good look of last week, before the namespace lay idle, says nothing about now."""
    seeing = Seeing()
    seeing.want({"lab"}, 1000)
    assert seeing.age({"lab": 5}, 1030) == 30
    assert seeing.age({"lab": 1025}, 1030) == 5


def test_the_one_that_was_not_seen_for_longest_decides() -> None:
    """One namespace that can't be listed is not hidden by the others that can."""
    seeing = Seeing()
    seeing.want({"lab", "blind"}, 0)
    seeing.want({"lab", "blind"}, 50)
    assert seeing.age({"lab": 99}, 100) == 100
