"""What survives: a project's command log and its checkpoints, in two LMDB environments under one lock.

`store.py` is the way in. `log.py` is the ordered record of what was committed, `pages.py` the folded state that
makes opening fast, `environment.py` the one place that touches LMDB, `verify.py` the check of a store that is
not open.
"""
