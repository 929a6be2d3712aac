"""The tools of coreutils and findutils do the same on a mount as on a local disk.

Their output, their errors, and what is there.
"""
# ruff: noqa: E501 - lines of shell are best read whole

import subprocess
from pathlib import Path

import pytest
from support.programs import Twins, program

pytestmark = pytest.mark.mount

PREPARED = """
mkdir tree tree/sub tree/sub/deep tree/empty
seq 20000 > tree/big
seq 100 > tree/small; chmod 640 tree/small
printf '#!/bin/sh\\necho ran\\n' > tree/script; chmod 755 tree/script
: > tree/nothing
seq 5 > tree/sub/one; seq 6 > 'tree/sub/with space'; seq 7 > tree/sub/deep/ünïcode
ln -s sub/one tree/link; ln -s nowhere tree/broken; mkfifo -m 600 tree/fifo
touch -d '2001-02-03 04:05:06.789' tree/small tree/sub/one; touch -d '2002-01-01' tree/sub
"""

SCRIPTS = {
    "dd in the middle": "dd if=tree/small of=tree/big bs=7 seek=1000 conv=notrunc status=none; cksum tree/big",
    "dd that cuts": "dd if=tree/small of=tree/big bs=7 seek=1000 status=none; cksum tree/big",
    "dd that appends": "dd if=tree/small of=tree/big bs=10 oflag=append conv=notrunc,fsync status=none; cksum tree/big",
    "dd that syncs": "dd if=tree/big of=synced bs=4k conv=fdatasync oflag=sync status=none; cmp synced tree/big",
    "dd that is direct": "dd if=tree/big of=direct bs=4k count=20 oflag=direct status=none; cksum direct",
    "dd far behind the end": "dd if=tree/small of=far bs=1 seek=3000000 status=none; cksum far; stat -c %s far",
    "truncate": "truncate -s 100 tree/big; truncate -s +1M tree/small; truncate -s 0 tree/script; truncate -s 5 new; cksum tree/b?? tree/s[cm]* new",
    "cp -a": "cp -a tree copy; diff -r --no-dereference --exclude=fifo tree copy; find copy -printf '%P %y %m %s %l\\n' | sort",
    "cp -a of times": "cp -a tree copy; find copy -newermt 2003-01-01 -prune -o -printf '%P %T+\\n' | sort",
    "cp -a --sparse": "truncate -s 300k s; seq 9 >> s; truncate -s 900k s; cp -a --sparse=always s t; cmp s t; cksum t",
    "cp --reflink=auto": "cp --reflink=auto tree/big copy; cmp tree/big copy; cp --reflink=always tree/big other 2>/dev/null || echo no",
    "cp over itself": "cp tree/big tree/small; cp tree/nothing tree/big; cp tree/small tree/small; cksum tree/*g tree/small",
    "cp -u": "cp -u tree/small tree/big; cp -u tree/big tree/small; cksum tree/big tree/small",
    "cp --backup": "cp --backup=numbered tree/big tree/small; cp --backup=simple tree/nothing tree/small; cksum tree/small*",
    "mv of trees": "mv tree moved; mv moved/sub moved/other; mv moved/other/deep .; mv deep moved/empty; find . | sort",
    "mv over something": "mv tree/big tree/small; mv -n tree/script tree/small; mv tree/empty tree/sub; mkdir e; mv -T e tree/sub; find . | sort",
    "mv out and in": 'out=$(mktemp -d); mv tree "$out"; mv "$out/tree" back; rmdir "$out"; find back -printf "%P %y %m %s %l\\n" | sort',
    "find -newer": "touch -d '2001-02-03 05:00' mark; find tree -newer mark | sort; find tree ! -newer mark | sort",
    "find of all sorts": "find tree -type f -size +1k | sort; find tree -empty | sort; find tree -perm 640; find tree -lname 's*'",
    "find -delete": "find tree -name '*e*' -type f -delete; find tree -type d -empty -delete; find tree | sort",
    "find -exec": "find tree -type f -exec chmod 600 {} + -exec touch -d 2010-10-10 {} +; find tree -type f -printf '%P %m %T+\\n' | sort",
    "du": "truncate -s 1M tree/big; dd if=/dev/zero of=tree/sub/full bs=64k count=3 status=none; du -ab --apparent-size tree/sub/full",
    "rm": "rm -r tree/sub; rm tree/link tree/fifo; rm tree; rmdir tree; rm -rf none; rm none; find . | sort",
    "install": "install -m 751 -D tree/big made/by/install; install -d -m 700 made/dir; install -b tree/small tree/big; find . -printf '%P %m %s\n' | sort",
    "ln that falls back": "ln -s tree/big a; ln -sf tree/small a; ln -sfn tree b; ln -sfn tree/sub b; cat a; readlink a b; cat b/one",
    "mkfifo": "mkfifo pipe; (seq 50000 > pipe &) ; cksum < pipe; stat -c %F pipe; mknod -m 640 p2 p; stat -c '%F %a' p2; rm pipe",
    "mktemp": "f=$(mktemp -p .); d=$(mktemp -d -p .); stat -c '%a %s' $f; stat -c %a $d; rm $f; rmdir $d",
    "shell": "exec 3<>tree/small; head -c 10 <&3; echo new >&3; exec 3>&-; cat tree/small | head -3; set -C; echo x > tree/big",
    "sort in place": "sort -r -o tree/big tree/big; head -3 tree/big; shuf -i 1-9 > s; sort -o s s; cat s; tree/script",
    "split and cat": "split -b 9k tree/big part-; cat part-* | cmp - tree/big; ls; csplit -s tree/small 50; wc -l xx*",
    "tee and tail": "seq 10 | tee -a tree/small new | tail -1; tail -n 2 tree/small; tail -c +5 new | head -2; shred -u new; ls",
    "cat of oneself": "cat tree/small tree/small > twice; cat twice >> tree/small; wc -l tree/small",
    "names": "touch -- -rf 'a b' $'new\\nline' 'ä' '*'; ls -Q; rm -- -rf '*'; ls -Q; touch $(printf %0255d 0) && ls | wc -l",
    "sticky and set bits": "mkdir s; chmod 2775 s; touch s/f; mkdir s/d; stat -c %a s s/f s/d; chmod 4755 tree/script; stat -c %a tree/script",
}


def run(script: str, folder: Path, home: Path) -> tuple[int, str, str]:
    done: subprocess.CompletedProcess[bytes] = program("bash", "-c", folder=folder, home=home).call(PREPARED + script)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("name", SCRIPTS)
def test_line_does_on_a_mount_what_it_does_on_a_disk(name: str, twins: Twins, tmp_path: Path) -> None:
    local = run(SCRIPTS[name], twins.local, tmp_path)
    assert run(SCRIPTS[name], twins.mounted, tmp_path) == local
    assert twins.differences() == []


def test_copy_with_links_falls_back_or_says_that_it_cannot(folder: Path, tmp_path: Path) -> None:
    shell = program("bash", "-c", folder=folder, home=tmp_path)
    shell.text("seq 9 > file")
    assert "Operation not permitted" in shell.complaint("ln file hard")
    assert "Operation not permitted" in shell.complaint("cp -l file hard")
    assert shell.text("ln file hard 2>/dev/null || ln -s file hard; cat hard | wc -l") == "9\n"
