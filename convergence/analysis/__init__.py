"""What the numbers of a study say: intervals, verdicts and, later, diagnoses. NumPy and SciPy only.

``statistics`` holds the interval and Student's t, ``bootstrap`` the intervals of skewed means,
``two_way`` the inference over seeds and rows, ``variance`` the components of a spread,
``correction`` Holm's step-down, ``power`` what a sample could have shown, ``divergence`` the exact
test of trials that diverged, ``arms`` the summary of one arm and ``verdict`` the decision on a
claim.
"""
