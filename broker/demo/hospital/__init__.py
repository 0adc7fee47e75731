"""The demo hospital: a holder as a process of its own, which knows the broker by HTTP only."""
