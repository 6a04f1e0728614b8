"""Start the strategy as a process of its own."""

from tollgate_strategy.app import main

main()
