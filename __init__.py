"""dope: the models of *Deep Learning: The Straight Dope* as tasks to run and extend."""

__version__ = "0.1.0"
