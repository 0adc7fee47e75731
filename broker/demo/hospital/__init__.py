"""The demo hospital: a holder as a process of its own, with own keys and store; it speaks HTTP to the broker."""
