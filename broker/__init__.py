"""Speaks HTTP to citizens, recipients and auditors, and wires everything together."""
