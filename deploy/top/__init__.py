"""``field top``: ``rows`` makes figures of two looks, ``look`` does the looking, ``draw`` shows them."""
