// compose_project FILE prints the project as `docker compose --env-file .env config` would load it: with the variables of
// the environment and of .env, every profile, checked against the schema and for consistency. Exit code 1 and the
// reason where it is refused. (The module's own cmd drops the environment and checks no consistency.)
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions(os.Args[1:], cli.WithOsEnv, cli.WithEnvFiles(), cli.WithDotEnv, cli.WithProfiles([]string{"*"}))
	exitOn(err)
	project, err := options.LoadProject(context.Background())
	exitOn(err)
	rendered, err := project.MarshalJSON()
	exitOn(err)
	fmt.Println(string(rendered))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
