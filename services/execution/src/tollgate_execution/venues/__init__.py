"""The private side of each venue: signing, and the calls that move money; here and nowhere else."""
