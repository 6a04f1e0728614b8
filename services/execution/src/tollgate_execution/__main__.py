"""``python -m tollgate_execution``."""

from tollgate_execution.app import main

main()
