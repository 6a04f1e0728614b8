"""``python -m tollgate_console`` is the command ``tollgate``."""

from tollgate_console.main import main

main()
