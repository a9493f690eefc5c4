"""The locked set-up on real servers: the stack works on it, and what is forbidden is refused."""
