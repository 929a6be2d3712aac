"""Floor 2: objects at an endpoint, with the customer key added in one place.

No FUSE, no local cache. Imported by cache and all floors above.
"""
