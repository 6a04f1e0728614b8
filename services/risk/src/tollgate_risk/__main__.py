"""Start the gate as a process of its own."""

from tollgate_risk.app import main

main()
