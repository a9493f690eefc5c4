"""A log of every version and form of event that was ever published, and the digests that it folds to, for ever."""
