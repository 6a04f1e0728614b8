"""Getting a desk back: backups of the database, and the tape put back from the ledger's archive."""
