package main

import (
	"net"
	"os"
)

// What the service manager of the machine is told, if there is one: systemd sets
// NOTIFY_SOCKET for services of Type=notify. (The protocol is one datagram of
// lines; sd_notify(3).)
const (
	notifyReady    = "READY=1"
	notifyStopping = "STOPPING=1"
)

// notify tells the service manager. Nobody may be there to be told, and a node
// serves all the same.
func notify(lines string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"}) // a leading @ is understood
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(lines))
	return err
}
