"""Verdict -> what people read: a table on a terminal, a live table, a JSON object, a page, figures.

Takes a ``Comparison``, a plan with its estimate, or the progress of a launch, and gives text. Figures need matplotlib,
which takes most of a second to import, so callers import the module that they use.
"""
