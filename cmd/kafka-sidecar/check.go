package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar"
)

// checkTimeout bounds each step of the check.
const checkTimeout = 10 * time.Second

// check parses the environment, prints what is in effect, and reaches for broker, topic and handler without touching either.
func check(args, environ []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(stderr)
	offline := flags.Bool("offline", false, "only check the configuration, connect to nothing")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return usageCode(err)
	}
	cfg, ok := configure(environ, stderr)
	if !ok {
		return exitConfig
	}
	for _, s := range cfg.Redacted() {
		fmt.Fprintf(stdout, "%s=%s\n", s.Name, s.Value)
	}
	for _, n := range cfg.Notes {
		fmt.Fprintf(stdout, "note: %s: %s\n", n.Variable, n.Text)
	}
	// What New checks besides needs files, not connections, and is the same for every type.
	typed := *cfg
	if cfg.Handler.Type == envconfig.TypeAuto {
		_ = typed.ResolveType("service") // fits every ORDERING
	}
	if err := prepare(&typed); err != nil {
		fmt.Fprintln(stderr, err)
		return exitConfig
	}
	if *offline {
		fmt.Fprintln(stdout, "ok: configuration")
		return exitOK
	}
	code := exitOK
	step := func(name string, f func(context.Context) (string, error)) {
		ctx, cancel := context.WithTimeoutCause(context.Background(), checkTimeout, fmt.Errorf("no answer within %s", checkTimeout))
		defer cancel()
		detail, err := f(ctx)
		switch {
		case errors.As(err, new(*envconfig.Errors)):
			code = exitConfig // a run would end with it, too
		case err != nil && code == exitOK:
			code = exitFailure
		}
		if err != nil {
			fmt.Fprintf(stdout, "FAILED: %s: %v\n", name, err)
			return
		}
		fmt.Fprintf(stdout, "ok: %s%s\n", name, detail)
	}
	if len(cfg.Kafka.Brokers) > 0 { // a Lambda function needs none
		step("broker and topic", func(ctx context.Context) (string, error) { return sidecar.Probe(ctx, cfg) })
	}
	step("handler", func(ctx context.Context) (string, error) { return reachHandler(ctx, cfg) })
	if kinds := sidecar.AuthKinds(cfg); kinds != "" {
		step("authentication", func(ctx context.Context) (string, error) { return " by " + kinds, sidecar.CheckAuth(ctx, cfg) })
	}
	if cfg.Handler.Type == envconfig.TypeAuto {
		step("handler's type", func(ctx context.Context) (string, error) {
			kind, err := sidecar.AskHandler(ctx, cfg)
			if err != nil {
				return "", err
			}
			resolved := *cfg
			return " is " + kind, resolved.ResolveType(kind)
		})
	}
	return code
}

// prepare does what a run does before it connects.
func prepare(cfg *envconfig.Config) error {
	log := slog.New(slog.DiscardHandler)
	if cfg.Function.Enabled {
		_, err := sidecar.NewFunction(cfg, log, buildVersion(), 1)
		return err
	}
	_, err := sidecar.New(cfg, log, buildVersion())
	return err
}

// reachHandler resolves the handler's name, connects, and shakes hands where it is TLS. It sends no request: a handler may act on any. Where a run
// goes through a proxy, that is what is reached: the handler's name may mean something to the proxy alone.
func reachHandler(ctx context.Context, cfg *envconfig.Config) (string, error) {
	target := cfg.Handler.BaseURL
	switch sink := &cfg.Subscription.Sink; sink.Kind {
	case envconfig.SinkHTTP:
		target = sink.Display
	case envconfig.SinkLambda:
		target = sink.Lambda.Endpoint
	}
	u, err := url.Parse(target)
	if err != nil {
		return "", errors.New("read the handler's URL: it does not parse") // the error's text would hold it
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil {
		return "", fmt.Errorf("choose a proxy: %w", err)
	}
	through := u
	if proxy != nil {
		through = proxy
	}
	addr := hostPort(through)
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	switch {
	case proxy != nil: // what is behind it would take a request to find out
		return " behind the proxy at " + addr, nil
	case u.Scheme != "https":
		return " at " + addr, nil
	}
	conf, err := sidecar.HandlerTLS(cfg)
	if err != nil {
		return "", err
	}
	if conf.ServerName == "" {
		conf.ServerName = u.Hostname()
	}
	err = tls.Client(conn, conf).HandshakeContext(ctx)
	switch {
	case err == nil:
		return " at " + addr + " over TLS", nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("shake hands with %s over TLS: %w", addr, context.Cause(ctx))
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "", fmt.Errorf("shake hands with %s over TLS: %w (set HANDLER_TLS_CA for a private authority)", addr, err)
	}
	return "", fmt.Errorf("shake hands with %s over TLS: %w", addr, err)
}

// hostPort is where to connect for a URL.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
