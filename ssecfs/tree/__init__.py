"""Floor 4: names, inodes, attributes, listings. No file content (content), no kernel (fuse). Imported by fs and app."""
