"""Faults at run time: ``/?ssecfs-faults``, signed like any request. The text is one rule on a line (``server.faults``)."""

from typing import Final

from ssecfs.server.call import Call
from ssecfs.server.errors import S3Error
from ssecfs.server.faults import FaultTextError, parse_fault
from ssecfs.server.response import Response

MAX_TEXT_BYTES: Final = 64 << 10


async def get_faults(call: Call) -> Response:
    """Show the rules in force."""
    text = "".join(f"{fault}\n" for fault in call.faults.rules)
    return Response(200, {"content-type": "text/plain"}, text.encode())


async def put_faults(call: Call) -> Response:
    """Put other rules in force."""
    lines = (await call.body.read(MAX_TEXT_BYTES)).decode("utf-8", "replace").splitlines()
    try:
        call.faults.replace([parse_fault(line.strip()) for line in lines if line.strip()])
    except FaultTextError as error:
        raise S3Error("InvalidArgument", str(error)) from None
    return Response()


async def delete_faults(call: Call) -> Response:
    """End all faults."""
    call.faults.replace([])
    return Response(204)
