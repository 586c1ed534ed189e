"""What a durable function does: steps, waits, batches, ... each kind in a module."""
