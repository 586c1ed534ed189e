"""One call of a user's function, whoever makes it: tasks, attempts, jobs, outcomes."""
