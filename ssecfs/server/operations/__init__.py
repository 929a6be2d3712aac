"""One file for each group of S3 operations; each takes a Call and gives a Response. Imported by server.service only."""
