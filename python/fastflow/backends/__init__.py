"""Where attempts are made: threads, other processes, a cluster."""
