"""What an operator sees and does: the tollgate command, the supervisor, the live view."""
