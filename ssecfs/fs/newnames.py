"""Names for something new, or for what is renamed: which are possible, and what has them now.

Imported by the rest of ``fs`` and by ``app``.
"""

from ssecfs.errors import BadRequestError, NotPermittedError
from ssecfs.fs.nodes import Nodes
from ssecfs.tree.inodes import Inode
from ssecfs.tree.listing import EntryKind
from ssecfs.tree.names import FOLDER_SUFFIX, OWN_FOLDER, Name, Namespace, join_directory_path, join_path


class NewNames:
    """Checks names that programs give. Owns nothing."""

    def __init__(self, nodes: Nodes, namespace: Namespace) -> None:
        """Take the collaborators."""
        self._nodes = nodes
        self._namespace = namespace

    async def claim(self, parent: Inode, raw_name: bytes, kind: EntryKind) -> tuple[Name, Inode | None]:
        """Check a name in a directory for something of a kind, and find what has it now.

        Raises:
            NotADirError: parent is none.
            NameTooLongError: the name, or the object key, would be too long.
            BadRequestError: nothing new of the kind can have that name: it would be shown under another one.
            NotPermittedError: the name is that of our own folder.
        """
        name = Name(raw_name)
        found = await self._nodes.find(parent, name)
        if found is not None:
            return found.name, found
        if parent.parent is None and name.component == OWN_FOLDER:
            message = f"{OWN_FOLDER} at the top is the mount's own folder"
            raise NotPermittedError(message)
        is_directory = kind is EntryKind.DIRECTORY
        is_possible = not name.is_beside if is_directory else await self._is_possible_for_file(parent, name)
        if not is_possible:
            message = "nothing new can have this name: it would be shown under another one (ssecfs(7) has the rules)"
            raise BadRequestError(message)
        # Both insist on an object key that is not too long.
        if is_directory:
            self._namespace.marker_key(join_directory_path(parent.path, name))
        else:
            self._namespace.file_key(join_path(parent.path, name))
        return name, None

    async def _is_possible_for_file(self, parent: Inode, name: Name) -> bool:
        component = name.component
        if not component or component.endswith(FOLDER_SUFFIX):
            return False  # such an object, when empty, is a directory's marker
        return not name.is_beside or await self._nodes.find(parent, name.plain) is not None
