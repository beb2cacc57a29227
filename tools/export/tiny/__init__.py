"""Random models of every family, small enough to be committed."""
