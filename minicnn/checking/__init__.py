"""Is it Keras? The ledger of differences, training in lockstep, and bugs planted to test the tests.

kinds.py      kinds of cases, and how either library answers them
cases.py      which cases are compared
golden.py     Keras' answers, kept for where there is no TensorFlow
ledger.py     the differences, case by case, against tolerances that have reasons
lockstep.py   two networks trained side by side, step by step
planting.py   the package with one line of its source altered
bugs.py       a table of such bugs
zoo.py        which kind of check notices which of them
command.py    what `python -m minicnn verify` prints
"""
