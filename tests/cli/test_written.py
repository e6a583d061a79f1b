"""What the commands say to programs."""

from __future__ import annotations

import pytest
from bson import Int64

from controller.cli.output import Format, written


@pytest.mark.parametrize("form", [Format.JSON, Format.YAML])
def test_a_number_as_a_database_has_it_is_written(form: Format) -> None:
    """A large one comes back as an int of the driver's own class: it is a number like any other."""
    assert written(form, {"most": Int64(2**40)}) == written(form, {"most": 2**40})
