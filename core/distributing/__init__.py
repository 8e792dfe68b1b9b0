"""Several machines: workers that train together through MXNet's parameter servers.

Holds the launcher, the roles of processes, and what workers say to each other.
"""
