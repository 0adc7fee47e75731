"""The consent log: an append-only Merkle tree (RFC 6962) in C2SP formats that strangers can verify."""
