"""The proofs: chains, sums, seals, the books against a rebuild from the archive, and the books against the venue."""
