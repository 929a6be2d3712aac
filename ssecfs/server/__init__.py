"""The embedded S3 server with real SSE-C.

Stands alone: of the rest it imports ssecfs.ssec only, and only app/serve and app/demo import it.
"""
