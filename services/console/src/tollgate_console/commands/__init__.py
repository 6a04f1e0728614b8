"""The subcommands that the console itself brings; each module is cheap to import, since ``--help`` loads them all."""
