"""A process that keeps a secret badly, in every way that the probe looks for. Run in a sandbox."""

import os
import socket
import sys
import time

secret = os.environ["PLANTED"]
kept = bytearray(secret.encode())
with open("/tmp/planted", "w") as file:
    file.write(secret)
os.mkdir(f"/tmp/named-{secret}")
descriptor = os.memfd_create("planted")
os.write(descriptor, secret.encode())
listening = socket.socket(socket.AF_UNIX)
listening.bind("/tmp/planted.sock")
listening.listen(8)
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\0planted")
abstract.listen(8)
sys.stdout.write("planted\n")
sys.stdout.flush()
until = time.monotonic() + float(sys.argv[1])
listening.settimeout(60)
while time.monotonic() < until:
    connection, _ = listening.accept()
    with connection:  # what it is sent is read: else the kernel drops what was said
        connection.sendall(kept)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)
