"""One call of a user's function, whoever makes it: attempts, jobs, backends."""
