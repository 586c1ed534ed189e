"""What a run did: recorded, explained, drawn."""
