"""Losses by name: each gives one number for each example."""
