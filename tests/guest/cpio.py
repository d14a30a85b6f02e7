# SPDX-License-Identifier: Apache-2.0
"""Writes what the kernel unpacks into its first file system: archives of the format "newc" (Linux,
Documentation/driver-api/early-userspace/buffer-format.rst). Several, one behind the other, are one
file system; the later file wins.
"""

import os
import stat
import tarfile

# Links to the directories below /usr, also to those who install files by the old path.
MERGED = ("bin", "sbin", "lib", "lib64")
TAR_TYPES = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK,
             tarfile.LNKTYPE: stat.S_IFREG, tarfile.REGTYPE: stat.S_IFREG}


class Archive:
    """An archive being written; everything belongs to root unless said otherwise."""

    def __init__(self, path):
        self.out = open(path, "wb")
        self.inode = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.add("TRAILER!!!", 0)
        self._pad(512)
        self.out.close()

    def add(self, name, mode, content=b"", owner=(0, 0), time=0):
        """One file; `mode` holds its type, a link's `content` is its target."""
        self.inode += 1
        fields = (self.inode, mode, *owner, 1, time, len(content), 0, 0, 0, 0,
                  len(name.encode()) + 1, 0)
        self.out.write(b"070701" + b"".join(b"%08X" % field for field in fields))
        self.out.write(name.encode() + b"\0")
        self._pad(4)
        self.out.write(content)
        self._pad(4)

    def add_directory(self, name, mode=0o755):
        self.add(name, stat.S_IFDIR | mode)

    def add_text(self, name, text, mode=0o644):
        self.add(name, stat.S_IFREG | mode, text.encode())

    def add_link(self, name, target):
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def add_tree(self, directory):
        """Everything below a directory."""
        for parent, directories, files in os.walk(directory):
            for name in sorted(directories + files):
                path = os.path.join(parent, name)
                inside = merged(os.path.relpath(path, directory))
                status = os.lstat(path)
                if inside not in MERGED:
                    self.add(inside, status.st_mode, file_content(path, status.st_mode),
                             time=int(status.st_mtime))

    def add_tar(self, tar, wanted=lambda name: True):
        """The members of an open tar file whose paths (without "./") are wanted."""
        contents = {}  # of files that others are hard links to
        for member in tar:
            name = merged(member.name.removeprefix("./").strip("/"))
            if name in ("", ".", *MERGED) or not wanted(name):
                continue
            content = b""
            if member.isreg():
                content = contents[member.name] = tar.extractfile(member).read()
            elif member.islnk():
                content = contents[member.linkname]
            elif member.issym():
                content = member.linkname.encode()
            self.add(name, TAR_TYPES[member.type] | member.mode, content,
                     (member.uid, member.gid), int(member.mtime))

    def _pad(self, boundary):
        self.out.write(b"\0" * (-self.out.tell() % boundary))


def merged(name):
    return f"usr/{name}" if name.split("/")[0] in MERGED and "/" in name else name


def file_content(path, mode):
    if stat.S_ISLNK(mode):
        return os.readlink(path).encode()
    if stat.S_ISREG(mode):
        with open(path, "rb") as file:
            return file.read()
    return b""
