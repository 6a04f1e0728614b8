"""Start the ledger as a process of its own."""

from tollgate_ledger.app import main

main()
