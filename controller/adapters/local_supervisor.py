"""The program that supervises one job: ``python -I -S local_supervisor.py <folder> <uid>``.

Started by the local cluster in a session of its own, so it outlives the daemon. It is run as a plain
file without site packages: it starts in a fraction of the daemon's time and knows nothing of its
libraries. What it does is in ``local_supervision``.
"""

import sys

if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/controller/")[0])
    from controller.adapters.local_supervision import supervise

    supervise(*sys.argv[1:3])
