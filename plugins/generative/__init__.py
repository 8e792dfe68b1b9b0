"""Generative models: networks that learn to make what the data could have held."""
