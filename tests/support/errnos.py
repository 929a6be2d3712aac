"""What the kernel answers when it refuses."""

import errno
from collections.abc import Callable


def refusal(call: Callable[..., object], *arguments: object) -> str:
    """The name of the errno with which a call is refused; empty: it is not."""
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""
