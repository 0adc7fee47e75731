"""What reference recipients share: the OAuth client, the broker's keys, signed answers, a database."""
