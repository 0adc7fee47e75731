"""The self-check: the server as configured and each client as registered, held against their profiles."""
