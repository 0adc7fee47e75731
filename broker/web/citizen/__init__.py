"""The citizen's pages: home, consent, one consent, sources."""
