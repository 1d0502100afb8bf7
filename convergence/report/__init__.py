"""The report of a study: ``page`` lays it out, ``answer`` finds its words, ``exhibits`` its tables.

The figures are `convergence.reporting.figures`; numbers come from the workdir's files alone.
"""
