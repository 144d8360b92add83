"""The checks of the course's exercises: one module a lesson, `check_03` for lesson 3.

A notebook says

    from checks import check_03 as check

and after each exercise `check.same_pads(same_pads)`, which prints a tick or a sentence and never
raises. Checks need minicnn and nothing else: no network, no TensorFlow.

An exercise is a decorated function, the right answer, whose parameters carry the lesson's letters.
Below it stand the mistakes that the check can name, in the words that the student will read:

    @exercise(cases=lambda: itertools.product(range(1, 41), range(1, 8), range(1, 5)))
    def same_pads(n, k, s):
        return same_padding(n, k, s)


    @same_pads.mistake("this is the symmetric rule, k // 2 cells on both sides")
    def _(n, k, s):
        return k // 2, k // 2

What else `exercise` can do, and what counts as equal, is said in `engine.py`.
"""
