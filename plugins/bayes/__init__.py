"""Bayes: networks with distributions over their weights, learned by gradients."""
