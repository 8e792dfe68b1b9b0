"""Tabular: rows of numbers and words, from a plane with noise to the prices of houses."""
