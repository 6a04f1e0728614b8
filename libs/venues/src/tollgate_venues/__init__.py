"""How each exchange speaks: parsing, formatting, public feeds."""
