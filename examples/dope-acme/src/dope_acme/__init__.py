"""A plugin for dope, as an example; plugin.py says what it brings."""
