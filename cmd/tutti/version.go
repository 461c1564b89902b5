package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"tutti/internal/node"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  tutti version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Printf("tutti %s %s/%s %s\n", node.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
			return nil
		},
	}
}
