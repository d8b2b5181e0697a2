"""What the commands do, as functions with plain arguments and returned values."""
