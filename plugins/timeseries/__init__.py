"""Time series: linear dynamical systems and innovation state-space models."""
