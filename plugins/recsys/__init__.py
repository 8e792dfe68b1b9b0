"""Recommenders: who rated what how high, and what to show whom next."""
