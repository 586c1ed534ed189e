"""What runs durable executions: replays, their scheduler, leases."""
