"""Floor 1: customer keys from keyfiles.

Formats, permission check, several keys. Knows nothing of S3 requests. Imported by every floor above.
"""
