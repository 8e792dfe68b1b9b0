"""Optimizers, schedules, and how parameters are updated."""
