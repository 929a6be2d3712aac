"""ssecfs: an S3 bucket encrypted with customer-provided keys (SSE-C), mounted as a directory."""

__version__ = "0.1.0"
