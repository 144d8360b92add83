"""Is it Keras? The ledger of differences, training in lockstep, and bugs planted to test the tests.

    case_types.py     types of cases, and how the engine, the core and Keras answer them
    cases.py          which cases are compared
    golden.py         Keras' answers, stored for where there is no TensorFlow
    ledger.py         the differences, case by case, against tolerances that have reasons
    lockstep.py       two networks trained side by side, step by step
    checks.py         types of checks: ways in which people test a network
    contract.py       one of them: layers of the user's own, Dropout, state, frozen layers
    own_layers.py     layers of a user's file: gradients, and beside the Keras layers they name
    planting.py       the package with one place in its source altered
    planted_bugs.py   a table of such bugs
    kill_matrix.py    which type of check notices which bug
    environment.py    processor, cores and versions, to go with every figure

`python -m minicnn verify` prints them: see `minicnn.cli.verify`.
"""
