package main

import "github.com/spf13/cobra"

func cliCommand() *cobra.Command {
	return &cobra.Command{Use: "cli", RunE: func(*cobra.Command, []string) error { return nil }}
}
