"""The Shared Signals transmitter (OpenID SSF 1.0): streams of security events, pushed or polled."""
