"""The reference recipient of the lease: an e-contract service that opens a contract once all have signed."""
