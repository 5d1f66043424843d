// SPDX-License-Identifier: MIT

// A goroutine for each connection, as Go's net package is meant to be used.
// The listening socket is descriptor 3, as systemd passes it. An argument: the file of the names that
// it knows, one a line.
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

func learn(file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		os.Exit(1)
	}
	for _, name := range strings.Fields(string(text)) {
		users[name] = "Happy and well"
	}
}

func main() {
	if len(os.Args) > 1 {
		learn(os.Args[1])
	}
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
