"""Pure rules that more than one service needs: instruments, costs, portfolio, matching."""
