"""``ssecfs mount``: everything that can be checked before, then the daemon."""

import os
from collections.abc import Callable, Mapping
from functools import partial

from ssecfs.app.config import MountOptions, Stay, gather, mount_options
from ssecfs.app.daemon import run_detached
from ssecfs.app.mount_words import options_from, split_words
from ssecfs.app.mountpoints import prepare_mountpoint, require_fuse
from ssecfs.app.options import find_command
from ssecfs.app.process import keep_memory, protect_memory
from ssecfs.errors import ConfigError
from ssecfs.keyring.keyfile import load_keyfile
from ssecfs.keyring.keyring import Keyring
from ssecfs.log import secret_texts, set_up_logging


def run(arguments: Mapping[str, str | list[str]]) -> int:
    """Mount; returns when the mount answers, or with -f when it is unmounted."""
    options = parse(arguments)
    prepare_mountpoint(options.mountpoint)
    require_fuse()
    keyring = load_keyfile(options.keyfile)
    protect_memory()
    keep_memory()
    work = partial(_serve, options, keyring)
    if options.stay is Stay.BACKGROUND:
        return run_detached(work)
    work(lambda: None)
    return 0


def parse(arguments: Mapping[str, str | list[str]]) -> MountOptions:
    """The options of a mount from the command line and wherever else they may stand.

    Raises:
        ConfigError: they make no sense.
    """
    command = find_command("mount")
    lists = arguments.get("words", [])
    words = [word for text in (lists if isinstance(lists, list) else [lists]) for word in split_words(text)]
    given = {name: text for name, text in arguments.items() if isinstance(text, str) and command.option(name)}
    values = gather(command, given, options_from(words, command), os.environ)
    return mount_options(str(arguments["bucket"]), str(arguments["mountpoint"]), values)


def _serve(options: MountOptions, keyring: Keyring, on_ready: Callable[[], None]) -> None:
    # Imported here, because these libraries take longer than every check before.
    from ssecfs.app.assembly import run_mount  # noqa: PLC0415
    from ssecfs.cache.directory import prepare_cache_base  # noqa: PLC0415

    prepare_cache_base(options.cache_dir)  # the usual log lies in it
    try:
        set_up_logging(options.log_level, options.log_file, secret_texts(keyring.customer_keys))
    except OSError as error:
        message = f"log file {options.log_file} cannot be written: {error.strerror}; give another one with --log-file"
        raise ConfigError(message) from error
    run_mount(options, keyring, on_ready)
