package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/admin"
)

// askTimeout bounds a question to the running sidecar.
const askTimeout = 5 * time.Second

// ask gets an admin page of the sidecar that runs beside this command with the same environment.
func ask(environ []string, path string) (status int, body []byte, err error) {
	addr, err := adminAddr(environ)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("ask %s%s: %w", addr, path, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is this machine
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the sidecar on ADMIN_ADDR: %w", err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("read %s: %w", path, err)
	}
	return resp.StatusCode, body, nil
}

// adminAddr is where the sidecar with this environment listens, seen from the same machine.
func adminAddr(environ []string) (string, error) {
	addr := envconfig.DefaultAdminAddr
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, "ADMIN_ADDR="); ok && v != "" {
			addr = v
		}
	}
	if addr == "off" {
		return "", errors.New("ADMIN_ADDR is off: there is nothing to ask")
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("read ADMIN_ADDR: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}

// healthcheck is for HEALTHCHECK instructions and exec probes: images without a shell have no curl.
func healthcheck(args, environ []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("healthcheck", flag.ContinueOnError)
	flags.SetOutput(stderr)
	ready := flags.Bool("ready", false, "ask /ready instead of /live")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return usageCode(err)
	}
	path := "/live"
	if *ready {
		path = "/ready"
	}
	status, body, err := ask(environ, path)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailure
	}
	fmt.Fprint(stdout, string(body))
	if status != http.StatusOK {
		return exitFailure
	}
	return exitOK
}

// parked lists the heads of the parked lanes.
func parked(args, environ []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprint(stderr, usage)
		return exitConfig
	}
	status, body, err := ask(environ, "/subscription")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("ask /subscription: answered %d", status)
	}
	var sub admin.Subscription
	if err == nil {
		err = json.Unmarshal(body, &sub)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailure
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RECORD\tKEY HASH\tSTATUS\tATTEMPTS\tRECORDS HELD\tNEXT ATTEMPT\tLAST ERROR")
	shown, total := 0, 0
	for _, p := range sub.Status.Partitions {
		total += p.ParkedKeys
		for _, l := range p.Parked {
			shown++
			next := "now"
			if l.NextAttempt != nil {
				next = l.NextAttempt.Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%d@%d\t%s\t%d\t%d\t%d\t%s\t%s\n", p.Partition, l.Offset, l.KeyHash, l.LastStatus, l.Attempts, l.Records, next, l.LastError)
		}
	}
	if err := w.Flush(); err != nil {
		return exitFailure
	}
	if total > shown {
		fmt.Fprintf(stdout, "and %d more\n", total-shown)
	}
	return exitOK
}
