"""Downloads that are whole and right or not there, resumed after a break, once for all runs."""
