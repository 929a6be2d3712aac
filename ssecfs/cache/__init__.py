"""Floor 3: sealed bytes on the local disk: clean blocks and the dirty spool.

No names of files, no kernel. Imported by content, tree and above.
"""
