"""Floor 4: the bytes of one open file: extents, reads, write-back.

No names (tree), no kernel (fuse). Imported by fs and app.
"""
