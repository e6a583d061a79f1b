"""Copies with changes: as ``dataclasses.replace`` makes them."""

import dataclasses
from dataclasses import dataclass, field

import pytest

from controller.core.copying import replace


@dataclass(frozen=True, slots=True)
class Angle:
    """Two fields that are given, and one that follows from them."""

    degrees: int
    minutes: int = 0
    full: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "full", 60 * self.degrees + self.minutes)


@pytest.mark.parametrize("changes", [{}, {"minutes": 30}, {"degrees": 1, "minutes": 2}])
def test_a_copy_is_what_the_standard_library_makes(changes: dict[str, int]) -> None:
    """The changes are taken, the rest stays, and what follows from both is made anew."""
    angle = Angle(7, 15)
    assert replace(angle, **changes) == dataclasses.replace(angle, **changes)
    assert angle == Angle(7, 15)


@pytest.mark.parametrize("changes", [{"full": 1}, {"seconds": 1}])
def test_what_is_not_given_can_not_be_changed(changes: dict[str, int]) -> None:
    """A field that follows from others, and one that is not there."""
    with pytest.raises(KeyError):
        replace(Angle(7), **changes)
