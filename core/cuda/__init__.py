"""NVIDIA's side of MXNet's CUDA build: driver, cards, libraries. Nothing here imports MXNet."""
