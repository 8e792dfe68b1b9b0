"""Runs to look at: a page for one, a board of many, a server of both, TensorBoard, CSV."""
