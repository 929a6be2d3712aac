"""Floor 5: what a filesystem operation means. No pyfuse3 here.

Imported by fuse and app. Lock order, for everything in this folder: the gate, once (``gate``); ``Inode.lock`` of several inodes
in ascending ino; an OpenFile held still; then nothing.
"""
