"""The program with a test's patience for watches: ``python -m tests.kube.impatient controller …``.

A watch without a word is dead after four seconds instead of seventy; one that broke is begun anew at once.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from controller.adapters import kube_watch
from controller.adapters.kube_client import Access
from controller.cli import main

SILENCE = timedelta(seconds=4)

if __name__ == "__main__":
    kube_watch.PAUSE = (0.1, 0.3)
    assert Access.__init__.__defaults__
    Access.__init__.__defaults__ = (*Access.__init__.__defaults__[:-1], SILENCE)
    assert Access().silence == SILENCE
    sys.exit(main(sys.argv[1:]))
