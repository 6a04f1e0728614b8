"""Run the exchange: ``python -m tollgate_simvenue``."""

from tollgate_simvenue.app import main

if __name__ == "__main__":
    main()
