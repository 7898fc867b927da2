"""Object-centric video prediction: SAVi video decomposition and slot predictors."""

import os
import sys

# What libraries read when they are loaded; a value that the user has set stays.
if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    # Threads that wait for one another spin for so many turns, then sleep. By default these are
    # 300,000: beside other busy programs they spin while the one they wait for has no core.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
# Files are written under other names and renamed, so nobody reads what another one writes; and some
# network disks have no locks.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
