"""Plugins found, loaded and kept under names."""
