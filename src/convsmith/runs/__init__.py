"""What a run leaves on the disk: its directory, its lock, its checkpoints, weights of others and the bundle."""
