"""Elections: candidates for one Lease and on one machine, and the daemons that lead and stand by."""
