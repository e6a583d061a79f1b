"""One BLAS thread, as in a job; this file is read before any test imports NumPy."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
