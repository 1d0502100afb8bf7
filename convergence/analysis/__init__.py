"""What the numbers of a study say: intervals and verdicts. NumPy and SciPy only.

``statistics`` holds the interval and Student's t, ``bootstrap`` the intervals of skewed means,
``two_way`` the inference over seeds and rows, ``variance`` the components of a spread,
``correction`` Holm's step-down, ``power`` what a sample could have shown, ``divergence`` the exact
test of trials that diverged and ``arms`` the summary of one arm. A decision goes from ``claim``
(fixed before training) over ``evidence`` (what paired trials say) and ``rules`` to ``verdict``.
"""
