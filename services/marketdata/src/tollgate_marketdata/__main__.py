"""Start market data as a process of its own."""

from tollgate_marketdata.app import main

main()
