"""What a hostile process in a sandbox does to get at the secret. Run there, by tests.

Reads needles from its input, JSON of masked bytes in base64, so that neither they nor what carries
them are found; writes as JSON where it saw one, which places it could look at, and which it could
not. It has the standard library alone.
"""

import base64
import ctypes
import json
import os
import select
import socket
import stat
import sys
from pathlib import Path

MASK = 0x5A
BLOCK = 1 << 20
LARGEST = 64 << 20
PTRACE_ATTACH, PTRACE_DETACH, PTRACE_SEIZE = 16, 17, 0x4206
PIDFD_OPEN, PIDFD_GETFD, PROCESS_VM_READV = 434, 438, 310


class Probe:
    def __init__(self, needles: list[bytes]) -> None:
        self.needles = needles
        self.found: list[str] = []
        self.looked: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.libc = ctypes.CDLL(None, use_errno=True)

    def see(self, kind: str, where: str, data: bytes) -> None:
        self.looked[kind] = self.looked.get(kind, 0) + 1
        if any(needle in data for needle in self.needles):
            self.found.append(f"{kind} {where}")

    def refuse(self, kind: str) -> None:
        self.refused[kind] = self.refused.get(kind, 0) + 1

    def read(self, kind: str, path: str) -> None:
        """A file, whatever it is, without waiting; pieces overlap."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            self.refuse(kind)
            return
        try:
            total, tail = 0, b""
            while total < LARGEST and (piece := os.read(descriptor, BLOCK)):
                self.see(kind, path, tail + piece)
                tail, total = piece[-4096:], total + len(piece)
        except OSError:
            self.refuse(kind)
        finally:
            os.close(descriptor)

    # --- processes

    def processes(self) -> None:
        """All but this one, the client and its supervisor before all."""
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                self.process(int(name))

    def process(self, pid: int) -> None:
        for name in ("environ", "cmdline", "auxv", "maps", "status", "stack", "syscall", "comm"):
            self.read(name, f"/proc/{pid}/{name}")
        self.memory(pid)
        self.descriptors(pid)
        self.trace(pid)
        self.read_from(pid)
        self.take_descriptors(pid)

    def memory(self, pid: int) -> None:
        try:
            regions = Path(f"/proc/{pid}/maps").read_text().splitlines()
            memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        except OSError:
            self.refuse("mem")
            return
        for region in regions:
            ends, rights, *_ = region.split()
            first, last = (int(end, 16) for end in ends.split("-"))
            if "r" in rights and last - first < LARGEST and "[v" not in region:
                try:
                    self.see("mem", f"{pid} {region}", os.pread(memory, last - first, first))
                except OSError:
                    self.refuse("mem")
        os.close(memory)

    def descriptors(self, pid: int) -> None:
        for folder in ("fd", "map_files", "task"):
            try:
                names = os.listdir(f"/proc/{pid}/{folder}")
            except OSError:
                self.refuse(folder)
                continue
            for name in names if folder == "fd" else ():
                path = f"/proc/{pid}/fd/{name}"
                try:
                    self.see("link", path, os.fsencode(os.readlink(path)))
                except OSError:
                    self.refuse("link")
                self.read("fd", path)

    def trace(self, pid: int) -> None:
        for request in (PTRACE_SEIZE, PTRACE_ATTACH):
            if self.libc.ptrace(request, pid, None, None) == 0:
                self.see("ptrace", str(pid), b"")
                if request == PTRACE_ATTACH:
                    os.waitpid(pid, 0x40000000)
                    self.libc.ptrace(PTRACE_DETACH, pid, None, None)
                return
            self.refuse("ptrace")

    def read_from(self, pid: int) -> None:
        class Piece(ctypes.Structure):
            _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

        here = ctypes.create_string_buffer(1)
        ours = Piece(ctypes.addressof(here), 1)
        theirs = Piece(id(here), 1)
        done = self.libc.syscall(
            PROCESS_VM_READV, pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0
        )
        if done < 0 and ctypes.get_errno() == 1:
            self.refuse("process_vm_readv")
        else:
            self.see("process_vm_readv", str(pid), b"")

    def take_descriptors(self, pid: int) -> None:
        process = self.libc.syscall(PIDFD_OPEN, pid, 0)
        for number in range(32) if process >= 0 else ():
            taken = self.libc.syscall(PIDFD_GETFD, process, number, 0)
            if taken < 0:
                self.refuse("pidfd_getfd")
                continue
            try:
                self.see("pidfd_getfd", f"{pid} {number}", os.pread(taken, BLOCK, 0))
            except OSError:
                self.refuse("pidfd_getfd")
            os.close(taken)
        if process >= 0:
            os.close(process)

    # --- files

    def files(self) -> None:
        """Those that may be of this container's life, and all that Tether has."""
        since = os.stat("/proc/1").st_ctime - 5
        for folder, folders, names in os.walk("/", onerror=lambda _: self.refuse("folder")):
            folders[:] = [x for x in folders if os.path.join(folder, x) not in ("/proc", "/sys")]
            self.see("name", folder, os.fsencode("\n".join((*folders, *names))))
            for name in names:
                self.file(os.path.join(folder, name), since)

    def file(self, path: str, since: float) -> None:
        try:
            seen = os.lstat(path)
        except OSError:
            self.refuse("file")
            return
        if stat.S_ISREG(seen.st_mode) and seen.st_ctime >= since:
            self.read("file", path)
        elif stat.S_ISSOCK(seen.st_mode):
            self.talk(socket.AF_UNIX, path)

    # --- sockets

    def sockets(self) -> None:
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
            name = line.split()[-1]
            if name.startswith("@"):
                self.talk(socket.AF_UNIX, "\0" + name[1:])
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A":
                self.talk(socket.AF_INET, ("127.0.0.1", int(local.split(":")[1], 16)))

    def talk(self, family: int, address: str | tuple[str, int]) -> None:
        """What is said to a stranger, at once and to a well-formed beginning."""
        for beginning in (b"", _upgrade("/events") + _hello(), _upgrade("/bulk")):
            connection = socket.socket(family)
            connection.settimeout(5)
            try:
                connection.connect(address)
                connection.sendall(beginning)
                self.see("socket", repr(address), _said(connection))
            except OSError:
                self.refuse("socket")
            finally:
                connection.close()


def _upgrade(path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def _hello() -> bytes:
    text = b'{"type":"hello","version":1,"nonce":"%s"}' % (b"0" * 32)
    return bytes((0x81, 0x80 | len(text))) + bytes(4) + text


def _said(connection: socket.socket) -> bytes:
    said = b""
    while select.select([connection], [], [], 1.5)[0] and (piece := connection.recv(BLOCK)):
        said += piece
    return said


def main() -> None:
    needles = [
        bytes(byte ^ MASK for byte in base64.b64decode(x)) for x in json.loads(sys.stdin.read())
    ]
    probe = Probe(needles)
    probe.processes()
    probe.files()
    probe.sockets()
    kinds = {"found": probe.found, "looked": probe.looked, "refused": probe.refused}
    sys.stdout.write(json.dumps(kinds | {"uid": os.getuid()}))


if __name__ == "__main__":
    main()
