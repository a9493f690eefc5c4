"""The command families; each module registers its commands and holds nothing but their thin bodies."""
