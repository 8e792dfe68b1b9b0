"""Sweeps: one task run many times with other values, and what the runs say together.

Holds nothing itself: the verbs are in ``verbs.py``, the grammar of values in ``points.py``.
"""
