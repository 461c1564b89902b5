package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func leaveCommand() *cobra.Command {
	var o leaving
	c := &cobra.Command{
		Use:   "leave",
		Short: "Take the node at --addr out of its cluster, for ever",
		Long: `Moves everything that the node at --addr holds to others and takes it out of its
cluster. Its process ends; its folder stays, and is of no use to any cluster.`,
		Example: "  tutti leave\n  tutti leave --addr 127.0.0.1:6380",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return leave(o) },
	}
	o.flags(c)
	return c
}

func leave(o leaving) error {
	s, err := o.status(statusTimeout)
	if err != nil {
		e := o.unreachable(err)
		if isSilence(err) {
			e.do = "start it again if it does not go on by itself   or through another node: tutti node ls, and tutti node remove NODE"
		}
		return e
	}
	name := idWord(s.Node)
	x, err := drainNode(o, name)
	if err != nil {
		return err
	}
	// The answer may not come: the node ends when it learns that it is out.
	if err := removeNode(o.target, x); err != nil {
		return err
	}
	fmt.Println("its process ends by itself; to join a cluster again use another folder, or remove this one")
	return nil
}
