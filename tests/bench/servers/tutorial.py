# SPDX-License-Identifier: MIT
# mypy: ignore-errors
# ruff: noqa: N802
"""The server of Twisted's finger tutorial ("Read status information from anywhere"), as it stands
there but for its socket: descriptor 3, as systemd passes it. An argument: the file of the names
that it knows, one a line."""

import os
import socket
import sys
from pathlib import Path

from twisted.internet import defer, protocol, reactor
from twisted.protocols import basic


class FingerProtocol(basic.LineReceiver):
    def lineReceived(self, user):
        d = self.factory.getUser(user)

        def onError(err):
            return b"Internal error in server"

        d.addErrback(onError)

        def writeResponse(message):
            self.transport.write(message + b"\r\n")
            self.transport.loseConnection()

        d.addCallback(writeResponse)


class FingerFactory(protocol.ServerFactory):
    protocol = FingerProtocol

    def __init__(self, users):
        self.users = users

    def getUser(self, user):
        return defer.succeed(self.users.get(user, b"No such user"))


if __name__ == "__main__":
    users = {b"moshez": b"Happy and well"}
    for file in sys.argv[1:]:
        users |= dict.fromkeys(Path(file).read_bytes().split(), b"Happy and well")
    os.set_blocking(3, False)
    reactor.adoptStreamPort(3, socket.AF_INET, FingerFactory(users))
    reactor.run()
