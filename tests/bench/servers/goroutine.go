// SPDX-License-Identifier: MIT

// A goroutine for each connection, as Go's net package is meant to be used.
// The listening socket is descriptor 3, as systemd passes it.
package main

import (
	"bufio"
	"net"
	"os"
	"strings"
	"time"
)

const timeout = 600 * time.Second

var users = map[string]string{"moshez": "Happy and well"}

func serve(connection net.Conn) {
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(timeout))
	line, err := bufio.NewReaderSize(connection, 1024).ReadString('\n')
	if err != nil {
		return
	}
	answer, known := users[strings.TrimSpace(line)]
	if !known {
		answer = "No such user"
	}
	connection.Write([]byte(answer + "\r\n"))
}

func main() {
	listener, err := net.FileListener(os.NewFile(3, "finger"))
	if err != nil {
		os.Exit(1)
	}
	for {
		connection, err := listener.Accept()
		if err == nil {
			go serve(connection)
		}
	}
}
