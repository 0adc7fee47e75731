"""The authorization server: one file per specification; `server.py` is the only door to Authlib."""
