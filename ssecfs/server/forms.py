"""``multipart/form-data`` bodies: the fields, then the file, as they arrive. No S3 in here.

Imported by the form upload. What stands behind the file is ignored, as S3 does.
"""

from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ssecfs.server.body import Receive
from ssecfs.server.errors import S3Error

MAX_FIELDS_BYTES: Final = 20 << 10
FILE_FIELD: Final = "file"


class Form:
    """One form. Owns: the parser. Invariant: fields are complete once the file's first piece or the end has come."""

    def __init__(self, content_type: str, receive: Receive) -> None:
        """Take the header that names the boundary, and where the body comes from.

        Raises:
            S3Error: it is no form.
        """
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary or len(boundary) > 200:  # noqa: PLR2004 - RFC 2046 allows 70
            message = "Bucket POST must be of the enclosure-type multipart/form-data"
            raise S3Error("PreconditionFailed", message, Condition=message)
        self._receive = receive
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )
        self.fields: dict[str, str] = {}
        self.file_name = ""
        self.has_file = False
        self._header = [bytearray(), bytearray()]
        self._name = ""
        self._value = bytearray()
        self._size = 0
        self._pieces: list[bytes] = []
        self._is_complete = False

    async def read_fields(self) -> dict[str, str]:
        """The fields in front of the file, by lower-case name.

        Raises:
            S3Error: the form is malformed, or has no file.
        """
        while not self.has_file and await self._feed():
            pass
        if not self.has_file:
            raise S3Error("InvalidArgument", "POST requires exactly one file upload per request.", ArgumentName="file")
        return self.fields

    async def next(self) -> bytes | None:
        """The next piece of the file; None: it has ended.

        Raises:
            S3Error: the form is malformed, or ends too early.
        """
        while not self._pieces:
            if self._is_complete or not await self._feed():
                return None
        piece = b"".join(self._pieces)
        self._pieces.clear()
        return piece

    async def _feed(self) -> bool:
        raw = await self._receive()
        try:
            if raw is not None:
                self._parser.write(raw)
        except FormParserError as error:
            raise _malformed() from error
        if raw is None and self.has_file and not self._is_complete:
            raise _malformed()
        return raw is not None

    def _begin(self) -> None:
        self._name, self._value = "", bytearray()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        name, value = bytes(self._header[0]).lower(), bytes(self._header[1])
        self._header = [bytearray(), bytearray()]
        self._count(len(name) + len(value))
        if name == b"content-disposition":
            options = parse_options_header(value)[1]
            self._name = options.get(b"name", b"").decode("utf-8", "replace").lower()
            if self._name == FILE_FIELD and not self.has_file:
                self.file_name = options.get(b"filename", b"").decode("utf-8", "replace")

    def _headers_end(self) -> None:
        if self._name == FILE_FIELD and not self.has_file:
            self.has_file = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE_FIELD:
            if not self._is_complete:
                self._pieces.append(data[start:end])
        elif not self.has_file:
            self._count(end - start)
            self._value += data[start:end]

    def _end(self) -> None:
        if self._name == FILE_FIELD:
            self._is_complete = True
        elif self._name and not self.has_file:
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _finish(self) -> None:
        self._name = ""

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > MAX_FIELDS_BYTES:
            raise S3Error(
                "MaxPostPreDataLengthExceededError", "Your POST request fields preceding the upload file were too large."
            )


def _malformed() -> S3Error:
    return S3Error("MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")
