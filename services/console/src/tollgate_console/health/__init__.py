"""How the platform is: what each process says of itself, put together into one report."""
