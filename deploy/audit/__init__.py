"""What we depend on: is it what was asked for, is something known against it, may it be used. Without a network."""
