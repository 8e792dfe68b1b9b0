"""Networks on contexts, and the graphs that compute with them."""
