package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/cmd/kafka-sidecar/internal/restateimport"
)

// tokenVariable holds the token for Restate's Admin API, under the name that Restate's own command line uses. Arguments are seen by
// every user of a machine.
const tokenVariable = "RESTATE_AUTH_TOKEN"

// importRestate prints the environment of a sidecar, or a call of the Terraform module, for each subscription of a Restate server, or for
// those that are named.
func importRestate(args, environ []string, stdout, stderr io.Writer) int {
	write := restateimport.Subscription.Write
	if len(args) > 0 && args[0] == "--terraform" {
		write, args = restateimport.Subscription.WriteTerraform, args[1:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		fmt.Fprint(stderr, usage)
		return exitConfig
	}
	u, err := url.Parse(args[0])
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		fmt.Fprintf(stderr, "the address is not valid; want the URL of Restate's Admin API, like http://localhost:9070, and a token in %s\n", tokenVariable)
		return exitConfig
	}
	token, err := tokenOf(environ)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitConfig
	}
	subscriptions, err := restateimport.Read(context.Background(), args[0], token, args[1:])
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailure
	}
	if len(subscriptions) == 0 {
		fmt.Fprintln(stdout, "# Restate has no subscriptions.")
	}
	for i, s := range subscriptions {
		if i > 0 {
			fmt.Fprintln(stdout)
		}
		if err := write(s, stdout, time.Now()); err != nil {
			fmt.Fprintln(stderr, "write the environment:", err)
			return exitFailure
		}
	}
	return exitOK
}

// tokenOf finds the token, or the file that holds it.
func tokenOf(environ []string) (string, error) {
	var token, file string
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, tokenVariable+"="); ok {
			token = v
		}
		if v, ok := strings.CutPrefix(kv, tokenVariable+"_FILE="); ok {
			file = v
		}
	}
	switch {
	case file == "":
		return token, nil
	case token != "":
		return "", errors.New(tokenVariable + "_FILE: is set beside " + tokenVariable + "; want the value or the file, not both")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", errors.New(tokenVariable + "_FILE: the file cannot be read; want the path of a readable file") // the error holds the path, which may be the token
	}
	return strings.TrimSpace(string(text)), nil
}
