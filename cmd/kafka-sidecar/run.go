package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar"
)

// Exit codes, an interface of their own: orchestrators act on them.
const (
	exitOK      = 0 // drained, or finished
	exitFailure = 1 // what was needed could not be had
	exitConfig  = 2 // the environment is wrong; a crash of the Go runtime has this code, too, after a line that begins with "panic:" or "fatal error:"
	exitStopped = 3 // ON_FAILURE=stop met a failed record
	exitDrain   = 4 // the drain budget was exceeded, or a second signal came
	exitParked  = 5 // END_AT was reached but for parked keys
)

// version is set by the release build; see buildVersion.
var version string

// buildVersion is the release's version, or what the Go toolchain knows of a build from source.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

const usage = `kafka-sidecar: one Kafka topic to one handler, in key order, losing nothing.

  kafka-sidecar               run, configured by environment variables
  kafka-sidecar check         check the configuration and reach broker, topic and handler (--offline: only check)
  kafka-sidecar healthcheck   ask the running sidecar's /live (--ready: /ready)
  kafka-sidecar parked        list the records whose keys are parked
  kafka-sidecar import-restate [--terraform] <admin-url> [<subscription id>...]
                              print the environments that take over the Kafka subscriptions of a Restate server, from where
                              they stand (token: RESTATE_AUTH_TOKEN); --terraform: calls of the module for Amazon ECS
  kafka-sidecar help env      list every variable
  kafka-sidecar version

The smallest configuration:

  KAFKA_BOOTSTRAP_SERVERS=localhost:9092
  SUBSCRIPTION_ID=orders-to-billing
  SUBSCRIPTION_SOURCE=kafka://my-cluster/orders
  SUBSCRIPTION_SINK=http://localhost:8080/orders
`

// run is the program: it returns the exit code and touches nothing of the process but signals.
func run(args, environ []string, stdout, stderr io.Writer) int {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "", "run":
		if len(args) == 0 {
			return serve(environ, stdout, stderr)
		}
	case "check":
		return check(args, environ, stdout, stderr)
	case "healthcheck":
		return healthcheck(args, environ, stdout, stderr)
	case "parked":
		return parked(args, environ, stdout, stderr)
	case "import-restate":
		return importRestate(args, environ, stdout, stderr)
	case "version", "--version":
		fmt.Fprintln(stdout, "kafka-sidecar", buildVersion())
		return exitOK
	case "help", "--help", "-h":
		return help(args, stdout, stderr)
	}
	fmt.Fprint(stderr, usage)
	return exitConfig
}

// usageCode is the exit code of a command whose flags ended it: to ask for help is no mistake.
func usageCode(err error) int {
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	return exitConfig
}

// help prints the usage, or the reference of all variables.
func help(args []string, stdout, stderr io.Writer) int {
	switch {
	case len(args) == 0:
		fmt.Fprint(stdout, usage)
	case len(args) == 1 && args[0] == "env":
		fmt.Fprint(stdout, envconfig.HelpText())
	case len(args) == 2 && args[0] == "env" && args[1] == "--markdown":
		fmt.Fprint(stdout, envconfig.Reference())
	default:
		fmt.Fprint(stderr, usage)
		return exitConfig
	}
	return exitOK
}

// configure reads the environment; every mistake is printed, one a line.
func configure(environ []string, stderr io.Writer) (*envconfig.Config, bool) {
	cfg, err := envconfig.Parse(environ)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return nil, false
	}
	return cfg, true
}

// serve runs the sidecar until a signal stops it. Logs go to stderr; stdout is for METRICS_EMF alone, so that neither breaks the other's lines.
func serve(environ []string, stdout, stderr io.Writer) int {
	cfg, ok := configure(environ, stderr)
	if !ok {
		return exitConfig
	}
	log := newLogger(cfg, stderr)
	log.Info("starting", slog.String("version", buildVersion()), slog.String("subscription", cfg.Subscription.ID), slog.String("source", cfg.Subscription.Source),
		slog.String("sink", cfg.Subscription.Sink.Display), slog.String("group", cfg.Kafka.GroupID), slog.String("ordering", cmp.Or(cfg.Delivery.Ordering, "by the handler's type")),
		slog.String("on_failure", cfg.Delivery.OnFailure))
	for _, n := range cfg.Notes {
		log.Log(context.Background(), n.Level, "configuration note", slog.String("variable", n.Variable), slog.String("note", n.Text))
	}
	if cfg.Function.Enabled {
		return serveLambda(cfg, log, stdout, stderr)
	}
	limitMemory(cfg, environ)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	ended := make(chan error, 1)
	go func() { ended <- work(ctx, cfg, log, stdout) }()
	var overdue <-chan time.Time
	for stopping := false; ; {
		select {
		case err := <-ended:
			return exitCode(err, log, stderr)
		case <-overdue:
			log.Error("SHUTDOWN_TIMEOUT is over: stopping at once", slog.Duration("timeout", cfg.Run.ShutdownTimeout))
			return exitDrain
		case sig := <-signals:
			if stopping {
				log.Error("second signal: stopping at once", slog.String("signal", sig.String()))
				return exitDrain
			}
			log.Info("signal received", slog.String("signal", sig.String()))
			stopping, overdue = true, time.After(cfg.Run.ShutdownTimeout)
			stop()
		}
	}
}

// mistakeError is a mistake of configuration that shows only after the environment was read.
type mistakeError struct{ error }

// work is the engine from its start to its end.
func work(ctx context.Context, cfg *envconfig.Config, log *slog.Logger, stdout io.Writer) error {
	switch err := resolve(ctx, cfg, log); {
	case ctx.Err() != nil && cfg.Run.EndAt.Kind != "":
		return sidecar.ErrUnfinished
	case ctx.Err() != nil:
		return nil //nolint:nilerr // told to stop before there was anything to drain: why it was not known yet does not matter
	case err != nil:
		return err
	}
	s, err := sidecar.New(cfg, log, buildVersion())
	if err != nil {
		return mistakeError{err}
	}
	s.WriteEMF(stdout)
	return s.Run(ctx)
}

// resolve asks for the handler's type where it has to be asked for.
func resolve(ctx context.Context, cfg *envconfig.Config, log *slog.Logger) error {
	err := sidecar.ResolveHandler(ctx, cfg, log, buildVersion())
	if errors.As(err, new(*envconfig.Errors)) {
		return mistakeError{err}
	}
	return err
}

// limitMemory tells the garbage collector how much there is to be had beside the bounds of the configuration, unless GOMEMLIMIT does: it works harder
// near the limit, instead of letting the heap grow to twice what is alive.
func limitMemory(cfg *envconfig.Config, environ []string) {
	// Of the 64 MiB that are promised. The pages of the program itself, some 18 MiB of which come to be resident, are not the collector's.
	const besides = 42 << 20
	if !slices.ContainsFunc(environ, func(kv string) bool { return strings.HasPrefix(kv, "GOMEMLIMIT=") }) {
		debug.SetMemoryLimit(cfg.Delivery.MaxInFlightBytes + cfg.Delivery.ParkedMaxBytes + besides)
	}
}

// exitCode says why the engine ended and maps it to a code.
func exitCode(err error, log *slog.Logger, stderr io.Writer) int {
	mistake := mistakeError{}
	switch {
	case errors.As(err, &mistake):
		fmt.Fprintln(stderr, mistake)
		return exitConfig
	case err == nil:
		log.Info("drained and stopped")
		return exitOK
	case errors.Is(err, sidecar.ErrStopped):
		log.Error("stopped", slog.Any("err", err))
		return exitStopped
	case errors.Is(err, sidecar.ErrParked):
		log.Error("stopped", slog.Any("err", err))
		return exitParked
	case errors.Is(err, sidecar.ErrDrainBudget):
		log.Error("stopped", slog.Any("err", err))
		return exitDrain
	}
	log.Error("failed", slog.Any("err", err))
	return exitFailure
}

// newLogger writes to w in the configured format and level.
func newLogger(cfg *envconfig.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Run.LogLevel)); err != nil {
		level = slog.LevelInfo // the parser admits only names that slog knows
	}
	opts := &slog.HandlerOptions{Level: level}
	format := cfg.Run.LogFormat
	if format == "" && isTerminal(w) {
		format = "text"
	}
	if format == "text" {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	opts.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
		switch v := a.Value.Any().(type) {
		case time.Duration:
			return slog.String(a.Key, v.String()) // as in text; slog's number of nanoseconds would lack its unit
		case slog.Level:
			if cfg.Run.CloudRun {
				return slog.Attr{Value: slog.GroupValue(slog.String("level", v.String()), slog.String("severity", severity(v)))}
			}
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// severity is the name by which Cloud Logging knows a level (its LogSeverity); a line without one would have none there.
func severity(level slog.Level) string {
	if level == slog.LevelWarn {
		return "WARNING"
	}
	return level.String()
}

// isTerminal says whether w is a character device, as a terminal is, other than the null device.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
